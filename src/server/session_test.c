/* What nodes are told, and when: whole maps, patches, one delta for the slow. */
#include "test_world.h"
#include "proto/map_frame.h"

static void the_first_map_is_whole(void **state)
{
        struct world w;
        struct client a, b;

        (void)state;
        two_nodes(&w, &a, &b);
        client_hang_up(&a);
        client_poll(&a);
        world_sync(&w);
        assert_int_equal(a.messages, 1);
        assert_true(has(&a.stream, "\"Name\":\"pc.example.net.\""));
        assert_true(has(&a.stream, "\"Addresses\":[\"100.64.0.1/32\",\"fd7a:115c:a1e0::1/128\"]"));
        assert_true(has(&a.stream, "\"Peers\":[{\"ID\":2,"));
        assert_true(has(&a.stream, "\"Name\":\"pc-1.example.net.\""));
        assert_true(has(&a.stream, "\"PacketFilters\":{\"base\":[{"));
        assert_true(has(&a.stream, "\"DERPMap\":{"));
        assert_true(has(&a.stream, "\"LoginName\":\"alice\""));
        assert_true(has(&a.stream, "\"DisableLogTail\":true"));
        assert_true(has(&a.stream, "\"100.100.in-addr.arpa\":[]"));
        two_clients_end(&w, &a, &b);
}

static void endpoints_travel_as_a_patch(void **state)
{
        struct world w;
        struct client a, b, lite;

        (void)state;
        two_nodes(&w, &a, &b);
        client_init(&lite, &w, 2);
        client_map(&lite, "\"OmitPeers\":true,\"Endpoints\":[\"192.0.2.1:41641\"],");
        assert_int_equal(lite.status, 200);
        assert_int_equal(lite.body.len, 0);
        world_pass(&w, TIME_S(1));
        assert_int_equal(a.messages, 1);
        assert_true(has(&a.stream, "\"PeersChangedPatch\":[{\"NodeID\":2,"));
        assert_true(has(&a.stream, "192.0.2.1:41641"));
        assert_false(has(&a.stream, "\"PeersChanged\":"));
        assert_int_equal(b.messages, 0);

        client_map(&lite, "\"OmitPeers\":true,\"Endpoints\":[\"192.0.2.1:41641\"],"); /* nothing new */
        world_pass(&w, TIME_S(1));
        assert_int_equal(a.messages, 1);
        client_fini(&lite);
        two_clients_end(&w, &a, &b);
}

/* 1.90 loses a patch that comes soon after the peer, unless the message describes the client, too. */
static void a_patch_for_clients_that_lose_patches(void **state)
{
        struct world w;
        struct client a, b, lite;

        (void)state;
        two_nodes(&w, &a, &b);
        client_init(&lite, &w, 1);
        client_map(&lite, "\"OmitPeers\":true,\"Version\":130,");
        client_fini(&lite);
        world_pass(&w, TIME_S(1));
        buf_clear(&a.stream);
        client_init(&lite, &w, 2);
        client_map(&lite, "\"OmitPeers\":true,\"Endpoints\":[\"192.0.2.1:41641\"],");
        world_pass(&w, TIME_S(1));
        assert_true(has(&a.stream, "\"PeersChangedPatch\":[{\"NodeID\":2,"));
        assert_true(has(&a.stream, "\"Node\":{"));
        client_fini(&lite);
        two_clients_end(&w, &a, &b);
}

static void going_away_is_told_after_a_grace(void **state)
{
        struct world w;
        struct client a, b;

        (void)state;
        two_nodes(&w, &a, &b);
        client_hang_up(&b);
        world_pass(&w, TIME_S(5));
        client_poll(&b); /* back in time: nobody hears of it */
        world_pass(&w, TIME_S(10));
        assert_int_equal(a.messages, 0);
        client_hang_up(&b);
        world_pass(&w, TIME_S(15));
        assert_int_equal(a.messages, 1);
        assert_true(has(&a.stream, "\"Online\":false"));
        assert_true(has(&a.stream, "\"LastSeen\":"));
        two_clients_end(&w, &a, &b);
}

static void removal_is_told_by_id(void **state)
{
        struct world w;
        struct client a, b;

        (void)state;
        two_nodes(&w, &a, &b);
        assert_int_equal(admin(&w, "DELETE", "/api/v1/node/2", "", NULL), 200);
        assert_true(b.ended);
        world_pass(&w, TIME_S(1));
        assert_true(has(&a.stream, "\"PeersRemoved\":[2]"));
        client_poll(&b);
        assert_int_equal(b.status, 404);
        two_clients_end(&w, &a, &b);
}

static void a_slow_reader_gets_one_delta_when_it_is_back(void **state)
{
        struct world w;
        struct client a, b, lite;
        char members[128];

        (void)state;
        two_nodes(&w, &a, &b);
        client_init(&lite, &w, 2);
        a.full = true;
        for (int i = 0; i < 20; i++) {
                snprintf(members, sizeof(members), "\"OmitPeers\":true,\"Endpoints\":[\"192.0.2.1:%d\"],",
                        1000 + i);
                client_map(&lite, members);
                world_pass(&w, TIME_S(1));
        }
        assert_int_equal(a.messages, 1);
        a.full = false;
        server_call_writable(w.server, &w.now, &a.call);
        assert_int_equal(a.messages, 2);
        assert_true(has(&a.stream, "192.0.2.1:1019"));
        client_fini(&lite);
        two_clients_end(&w, &a, &b);
}

static void keepalives_come_within_a_minute(void **state)
{
        struct world w;
        struct client a, b;

        (void)state;
        two_nodes(&w, &a, &b);
        world_pass(&w, TIME_S(60));
        assert_int_equal(a.keepalives, 1);
        assert_int_equal(a.messages, 0);
        two_clients_end(&w, &a, &b);
}

static void an_approved_route_moves_to_who_is_there(void **state)
{
        struct world w;
        struct client a, b, c;
        char key[128];

        (void)state;
        two_nodes(&w, &a, &b);
        client_init(&c, &w, 3);
        make_key(&w, "", key, sizeof(key));
        b.hostinfo = c.hostinfo = "{\"Hostname\":\"router\",\"RoutableIPs\":[\"10.1.0.0/24\"]}";
        client_register_with(&c, key);
        world_sync(&w);
        client_poll(&b);
        client_poll(&c);
        world_pass(&w, TIME_S(1));
        assert_false(has(&a.stream, "\"PrimaryRoutes\""));
        assert_int_equal(
                admin(&w, "POST", "/api/v1/node/2/approve_routes", "{\"routes\":[\"10.1.0.0/24\"]}", NULL),
                200);
        assert_int_equal(
                admin(&w, "POST", "/api/v1/node/3/approve_routes", "{\"routes\":[\"10.1.0.0/24\"]}", NULL),
                200);
        assert_int_equal(tailnet_node(&w.server->tailnet, 2)->n_primary, 1);
        assert_int_equal(tailnet_node(&w.server->tailnet, 3)->n_primary, 0);
        world_pass(&w, TIME_S(1));
        assert_true(has(&a.stream, "\"PrimaryRoutes\":[\"10.1.0.0/24\"]"));
        client_hang_up(&b);
        world_pass(&w, TIME_S(12));
        assert_int_equal(tailnet_node(&w.server->tailnet, 3)->n_primary, 1);
        client_poll(&b); /* coming back does not take it over again */
        world_pass(&w, TIME_S(1));
        assert_int_equal(tailnet_node(&w.server->tailnet, 3)->n_primary, 1);
        client_fini(&c);
        two_clients_end(&w, &a, &b);
}

/* The peers of a whole map, decoded from its zstd frames. */
static size_t decode_full(
        struct server *s, struct node *viewer, struct arena *a, struct tailcfg_map_response *out)
{
        struct server_message *m = mapper_full(s, viewer, true, true);
        struct buf json = BUF_INIT(64 << 20);

        assert_non_null(m);
        assert_int_equal(get_le32(m->bytes), m->len - 4);
        assert_int_equal(map_frame_decompress(slice_make(m->bytes + 4, m->len - 4), &json), OK);
        assert_int_equal(tailcfg_map_response_decode(arena_copy(a, buf_slice(&json)), a, out), OK);
        buf_fini(&json);
        server_message_unref(m);
        return out->peers.count;
}

/* Whoever asks, the peers are all the others, in the order of their ids. */
static void large_maps_come_in_shared_chunks(void **state)
{
        enum { N = 200 };
        static struct client c[N];
        struct world w;
        char key[128];

        (void)state;
        world_init(&w);
        make_key(&w, ",\"reusable\":true", key, sizeof(key));
        for (uint8_t i = 0; i < N; i++) {
                client_init(&c[i], &w, i + 1);
                client_register_with(&c[i], key);
        }
        world_sync(&w);
        for (int round = 0; round < 2; round++) { /* the second one from the cache, but for what changed */
                for (size_t i = 0; i < N; i += 33) {
                        struct node *viewer = tailnet_node_by_machine(&w.server->tailnet, &c[i].machine);
                        struct arena a = ARENA_INIT(64 << 20);
                        struct tailcfg_map_response map;
                        if (!viewer)
                                continue;
                        assert_int_equal(
                                decode_full(w.server, viewer, &a, &map), w.server->tailnet.nodes.n - 1);
                        for (size_t k = 0; k < map.peers.count; k++) {
                                assert_int_not_equal(map.peers.items[k].id, viewer->id);
                                assert_true(k == 0 || map.peers.items[k - 1].id < map.peers.items[k].id);
                                assert_false(slice_is(map.peers.items[k].name, "old.example.net."));
                        }
                        arena_fini(&a);
                }
                int expected = round == 0 ? 200 : 404;
                assert_int_equal(admin(&w, "DELETE", "/api/v1/node/70", "", NULL), expected);
                assert_int_equal(admin(&w, "DELETE", "/api/v1/node/200", "", NULL), expected);
                assert_int_equal(admin(&w, "POST", "/api/v1/node/10/rename/old", "", NULL), 200);
                assert_int_equal(admin(&w, "POST", "/api/v1/node/10/rename/new", "", NULL), 200);
        }
        for (size_t i = 0; i < N; i++)
                client_fini(&c[i]);
        world_fini(&w);
}

static void extra_records_are_told_once(void **state)
{
        const struct server_dns_record record = { SLICE_LIT("extra.example.net"), SLICE_LIT("A"),
                SLICE_LIT("100.64.0.9") };
        struct world w;
        struct client a, b;

        (void)state;
        two_nodes(&w, &a, &b);
        for (int i = 0; i < 2; i++) { /* the second time they are no news */
                assert_int_equal(server_set_extra_records(w.server, &w.now, &record, 1), OK);
                world_pass(&w, TIME_S(1));
                assert_int_equal(a.messages, 1);
                assert_int_equal(b.messages, 1);
        }
        assert_true(has(&a.stream, "\"DNSConfig\":{"));
        assert_true(has(&a.stream, "\"Name\":\"extra.example.net\""));
        assert_false(has(&a.stream, "PacketFilter"));
        assert_int_equal(server_set_extra_records(w.server, &w.now, NULL, 0), OK);
        buf_clear(&a.stream);
        world_pass(&w, TIME_S(1));
        assert_true(has(&a.stream, "\"DNSConfig\":{"));
        assert_false(has(&a.stream, "extra.example.net"));
        two_clients_end(&w, &a, &b);
}

/* Many sessions are told in parts; a change between two parts reaches everybody, too. */
static void a_change_amid_a_round_reaches_all(void **state)
{
        enum { MANY = 150 };
        static struct client c[MANY];
        struct world w;
        char key[128];
        size_t told = 0;

        (void)state;
        world_init(&w);
        make_key(&w, ",\"reusable\":true", key, sizeof(key));
        for (size_t i = 0; i < MANY; i++) {
                client_init(&c[i], &w, (uint8_t)(i + 1));
                client_register_with(&c[i], key);
                world_sync(&w);
                client_poll(&c[i]);
        }
        world_pass(&w, TIME_S(2));
        for (size_t i = 0; i < MANY; i++)
                buf_clear(&c[i].stream);
        assert_int_equal(admin(&w, "POST", "/api/v1/node/5/rename/first", "", NULL), 200);
        world_pass(&w, w.settings.batch_delay_us);
        for (size_t i = 0; i < MANY; i++)
                told += has(&c[i].stream, "first.example.net");
        assert_true(told > 0 && told < MANY);
        assert_int_equal(admin(&w, "POST", "/api/v1/node/6/rename/second", "", NULL), 200);
        world_pass(&w, TIME_MS(500));
        for (size_t i = 0; i < MANY; i++) {
                assert_true(has(&c[i].stream, "first.example.net"));
                assert_true(has(&c[i].stream, "second.example.net"));
        }
        assert_int_equal(admin(&w, "POST", "/api/v1/node/7/rename/third", "", NULL), 200);
        world_pass(&w, w.settings.batch_delay_us);
        world_fini(&w); /* amid a round */
        for (size_t i = 0; i < MANY; i++)
                client_fini(&c[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_first_map_is_whole),
                cmocka_unit_test(endpoints_travel_as_a_patch),
                cmocka_unit_test(a_patch_for_clients_that_lose_patches),
                cmocka_unit_test(going_away_is_told_after_a_grace),
                cmocka_unit_test(removal_is_told_by_id),
                cmocka_unit_test(a_slow_reader_gets_one_delta_when_it_is_back),
                cmocka_unit_test(keepalives_come_within_a_minute),
                cmocka_unit_test(an_approved_route_moves_to_who_is_there),
                cmocka_unit_test(large_maps_come_in_shared_chunks),
                cmocka_unit_test(extra_records_are_told_once),
                cmocka_unit_test(a_change_amid_a_round_reaches_all),
        };
        log_set_level(LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
