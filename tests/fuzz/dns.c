/* Any datagram as a query and as an answer to one. Our own answer to a query that was
 * accepted is an answer to it. */
#include <stdlib.h>

#include "proto/dns.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct slice message = slice_make(data, len);
        struct buf out = BUF_INIT(DNS_MESSAGE_MAX);
        struct dns_query q;
        struct ip_addr ip = { .family = IP_V4 };

        if (dns_query_parse(message, &q) == OK) {
                const struct dns_answer answer = { .addrs = &ip, .addr_count = 1 };
                if (dns_answer_write(message, &q, &answer, &out) != OK || !dns_is_answer(buf_slice(&out), message, &q))
                        abort();
                struct buf cut = BUF_INIT(DNS_MESSAGE_MAX);
                if (dns_truncate(buf_slice(&out), &q, &cut) != OK || !dns_is_truncated(buf_slice(&cut)))
                        abort();
                buf_fini(&cut);
                if (dns_reverse_parse(q.name, &ip) == OK && !ip_valid(&ip))
                        abort();
                if (dns_is_answer(message, message, &q))
                        abort(); /* a query is none */
        }
        buf_fini(&out);
        return 0;
}
