/* Runs a fuzz target over every file of the folder given, without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

enum { FILE_MAX = 1 << 20 };

static int replay_file(const char *folder, const char *name)
{
        static uint8_t data[FILE_MAX];
        char path[4096];

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        FILE *f = fopen(path, "rb");
        if (!f) {
                perror(path);
                return -1;
        }
        size_t len = fread(data, 1, sizeof(data), f);
        fclose(f);

        /* An exact-size copy lets the address sanitizer see a read past the end. */
        uint8_t *copy = malloc(len ? len : 1);
        if (!copy)
                return -1;
        for (size_t i = 0; i < len; i++)
                copy[i] = data[i];
        LLVMFuzzerTestOneInput(copy, len);
        free(copy);
        return 0;
}

int main(int argc, char **argv)
{
        unsigned files = 0;

        if (argc != 2) {
                fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
                return 2;
        }
        DIR *dir = opendir(argv[1]);
        if (!dir) {
                perror(argv[1]);
                return 1;
        }
        for (struct dirent *e; (e = readdir(dir));) {
                if (e->d_name[0] == '.')
                        continue;
                if (replay_file(argv[1], e->d_name) != 0)
                        return 1;
                files++;
        }
        closedir(dir);
        LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
        printf("%u inputs replayed\n", files);
        return files ? 0 : 1; /* a target without seeds is a mistake */
}
