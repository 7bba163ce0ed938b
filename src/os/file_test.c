/* Whole files, and what is said of those that cannot be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/file.h"

static void what_is_written_is_read(void **state)
{
        char path[] = "/tmp/weft-file-XXXXXX", bytes[40000];
        struct buf whole = BUF_INIT(sizeof bytes), small = BUF_INIT(sizeof bytes - 1);
        int fd = mkstemp(path);

        (void)state;
        memset(bytes, 'x', sizeof bytes);
        assert_true(fd >= 0);
        assert_int_equal(file_write_fd(fd, slice_make(bytes, sizeof bytes)), OK);
        close(fd);
        assert_int_equal(file_read(path, &whole), OK);
        assert_int_equal(whole.len, sizeof bytes);
        assert_memory_equal(whole.ptr, bytes, sizeof bytes);
        assert_int_equal(file_read(path, &small), ERR_LIMIT);
        assert_int_equal(errno, EFBIG);
        unlink(path);
        assert_int_equal(file_read(path, &whole), ERR_NOTFOUND);
        assert_int_equal(errno, ENOENT);
        buf_fini(&whole);
        buf_fini(&small);
}

static void what_is_no_file(void **state)
{
        struct buf out = BUF_INIT(100);
        int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

        (void)state;
        assert_int_not_equal(file_read("/tmp", &out), OK);
        assert_int_equal(errno, EISDIR);
        assert_true(fd >= 0);
        assert_int_not_equal(file_write_fd(fd, SLICE_LIT("x")), OK);
        assert_int_equal(errno, ENOSPC);
        close(fd);
        buf_fini(&out);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_written_is_read),
                cmocka_unit_test(what_is_no_file),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
