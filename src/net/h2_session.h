/* What both ends of HTTP/2 ask of nghttp2: a session whose windows we open by hand, as
 * the reader of a stream takes its bytes. */
#ifndef NET_H2_SESSION_H
#define NET_H2_SESSION_H

#include <nghttp2/nghttp2.h>

/* on_begin_headers may be NULL; the others are needed. */
struct h2_callbacks {
        nghttp2_on_begin_headers_callback on_begin_headers;
        nghttp2_on_header_callback on_header;
        nghttp2_on_frame_recv_callback on_frame;
        nghttp2_on_data_chunk_recv_callback on_data;
        nghttp2_on_stream_close_callback on_close;
};

/* nghttp2_session_client_new2 or nghttp2_session_server_new2. */
typedef int h2_session_make(nghttp2_session **session, const nghttp2_session_callbacks *callbacks, void *ctx,
        const nghttp2_option *option);

/* A session with its settings queued to be sent and the connection's receive window at
 * conn_window bytes; ctx goes to the callbacks. The caller ends it with
 * nghttp2_session_del(). NULL without memory. */
nghttp2_session *h2_session_new(h2_session_make *make, const struct h2_callbacks *on, void *ctx,
        const nghttp2_settings_entry *settings, size_t n_settings, int32_t conn_window);

#endif
