#include "h2_session.h"

nghttp2_session *h2_session_new(h2_session_make *make, const struct h2_callbacks *on, void *ctx,
        const nghttp2_settings_entry *settings, size_t n_settings, int32_t conn_window)
{
        nghttp2_session_callbacks *callbacks = NULL;
        nghttp2_option *option = NULL;
        nghttp2_session *session = NULL;

        if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
                goto out;
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on->on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on->on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on->on_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on->on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on->on_close);
        if (make(&session, callbacks, ctx, option) != 0) {
                session = NULL;
                goto out;
        }
        if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, n_settings) != 0 ||
                nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, conn_window) != 0) {
                nghttp2_session_del(session);
                session = NULL;
        }
out:
        nghttp2_option_del(option);
        nghttp2_session_callbacks_del(callbacks);
        return session;
}
