// What a worker counts, in one table: a row gives a field of WorkerCounters and its place in the metrics. The worker
// writes, on its own cache lines; the admin thread reads at any time (server/metrics.cc).
//
// Rows of one metric stand together; the first has its help. No label ever tells a user, a token or an address.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/counter.h"
#include "gateway/refusal.h"

namespace weir::proxy {

// clang-format off
//  field                          kind     metric and label                                                   help
#define WEIR_WORKER_COUNTERS(X)                                                                                          \
  X(connections_accepted,          counter, "weir_connections_accepted_total", "",                                       \
    "Client connections that were accepted.")                                                                            \
  X(refused_at_limit,              counter, "weir_connections_refused_total", "reason=\"limit\"",                        \
    "Client connections that were closed at once: all slots in use, a peer whose uid is not allowed, weir draining, no file descriptor left, too many of one address.") \
  X(refused_uid,                   counter, "weir_connections_refused_total", "reason=\"uid\"", "")                      \
  X(refused_draining,              counter, "weir_connections_refused_total", "reason=\"draining\"", "")                 \
  X(refused_descriptors,           counter, "weir_connections_refused_total", "reason=\"descriptors\"", "")              \
  X(refused_address,               counter, "weir_connections_refused_total", "reason=\"address\"", "")                  \
  X(connections_displaced,         counter, "weir_connections_displaced_total", "",                                      \
    "Idle client connections that were closed to make room for new ones.")                                               \
  X(connections_open,              gauge,   "weir_connections_open", "",                                                 \
    "Client connections that are open.")                                                                                 \
  X(requests,                      counter, "weir_requests_total", "",                                                   \
    "Requests whose head was read.")                                                                                     \
  X(exchanges_open,                gauge,   "weir_exchanges_open", "",                                                   \
    "Requests that are being answered.")                                                                                 \
  X(exchanges_completed,           counter, "weir_exchanges_total", "outcome=\"completed\"",                             \
    "Requests that have ended, by outcome; refused: by weir, before anything went upstream.")                            \
  X(exchanges_upstream_error,      counter, "weir_exchanges_total", "outcome=\"upstream_error\"", "")                    \
  X(exchanges_client_disconnected, counter, "weir_exchanges_total", "outcome=\"client_disconnected\"", "")               \
  X(exchanges_gateway_error,       counter, "weir_exchanges_total", "outcome=\"gateway_error\"", "")                     \
  X(exchanges_refused,             counter, "weir_exchanges_total", "outcome=\"refused\"", "")                           \
  X(client_bytes_received,         counter, "weir_received_bytes_total", "side=\"client\"",                              \
    "Bytes received from sockets, as they came (with TLS: ciphertext).")                                                 \
  X(upstream_bytes_received,       counter, "weir_received_bytes_total", "side=\"upstream\"", "")                        \
  X(client_bytes_sent,             counter, "weir_sent_bytes_total", "side=\"client\"",                                  \
    "Bytes sent to sockets.")                                                                                            \
  X(upstream_bytes_sent,           counter, "weir_sent_bytes_total", "side=\"upstream\"", "")                            \
  X(upstreams_opened,              counter, "weir_upstream_connections_opened_total", "",                                \
    "Connections to providers (and the authorizer's service) that were made.")                                           \
  X(upstreams_reused,              counter, "weir_upstream_connections_reused_total", "",                                \
    "Requests sent on a kept connection.")                                                                               \
  X(upstreams_failed_address,      counter, "weir_upstream_connections_failed_total", "reason=\"no_address\"",           \
    "Attempts at an address that gave no connection; overtaken: another address was faster by 250 ms or more.")                                                                               \
  X(upstreams_failed_connect,      counter, "weir_upstream_connections_failed_total", "reason=\"connect\"", "")          \
  X(upstreams_failed_tls,          counter, "weir_upstream_connections_failed_total", "reason=\"tls\"", "")              \
  X(upstreams_failed_timeout,      counter, "weir_upstream_connections_failed_total", "reason=\"timeout\"", "")          \
  X(upstreams_failed_overtaken,    counter, "weir_upstream_connections_failed_total", "reason=\"overtaken\"", "")           \
  X(upstreams_open,                gauge,   "weir_upstream_connections_open", "",                                        \
    "Connections to providers, busy and kept.")                                                                          \
  X(upstreams_closed_body,         counter, "weir_upstream_connections_closed_total", "reason=\"forbidden_body\"",         \
    "Sound connections to providers that were not kept: an answer that may have no body (204, 205, 304, to HEAD) announced one, or bytes came that nobody had asked for; age: --upstream-age.") \
  X(upstreams_closed_age,          counter, "weir_upstream_connections_closed_total", "reason=\"age\"", "")                 \
  X(upstreams_closed_unasked,      counter, "weir_upstream_connections_closed_total", "reason=\"unasked_bytes\"", "")       \
  X(upstream_retries,              counter, "weir_upstream_retries_total", "",                                           \
    "Requests sent again because a kept connection died before one byte of an answer.")                                  \
  X(answers_1xx,                   counter, "weir_upstream_answers_total", "class=\"1xx\"",                              \
    "Answers of providers, by class of status.")                                                                         \
  X(answers_2xx,                   counter, "weir_upstream_answers_total", "class=\"2xx\"", "")                          \
  X(answers_3xx,                   counter, "weir_upstream_answers_total", "class=\"3xx\"", "")                          \
  X(answers_4xx,                   counter, "weir_upstream_answers_total", "class=\"4xx\"", "")                          \
  X(answers_5xx,                   counter, "weir_upstream_answers_total", "class=\"5xx\"", "")                          \
  X(upstream_pauses,               counter, "weir_upstream_pauses_total", "",                                            \
    "Times that reading from a provider paused because the client did not keep up.")                                     \
  X(timeouts_handshake,            counter, "weir_timeouts_total", "kind=\"handshake\"",                                 \
    "Deadlines that passed, by the flag that sets them (authorizer: authorizer.timeout; upstream_handshake: --handshake-timeout).") \
  X(timeouts_head,                 counter, "weir_timeouts_total", "kind=\"head\"", "")                                  \
  X(timeouts_body,                 counter, "weir_timeouts_total", "kind=\"body\"", "")                                  \
  X(timeouts_idle,                 counter, "weir_timeouts_total", "kind=\"idle\"", "")                                  \
  X(timeouts_send,                 counter, "weir_timeouts_total", "kind=\"send\"", "")                                  \
  X(timeouts_send_rate,            counter, "weir_timeouts_total", "kind=\"send_rate\"", "")                           \
  X(timeouts_connect,              counter, "weir_timeouts_total", "kind=\"connect\"", "")                               \
  X(timeouts_upstream_handshake,   counter, "weir_timeouts_total", "kind=\"upstream_handshake\"", "")                    \
  X(timeouts_answer,               counter, "weir_timeouts_total", "kind=\"answer\"", "")                                \
  X(timeouts_stream,               counter, "weir_timeouts_total", "kind=\"stream\"", "")                                \
  X(timeouts_authorizer,           counter, "weir_timeouts_total", "kind=\"authorizer\"", "")                            \
  X(authorizer_callouts,           counter, "weir_authorizer_callouts_total", "",                                        \
    "Questions that were sent to the authorizer's service.")                                                             \
  X(authorizer_shared,             counter, "weir_authorizer_shared_total", "",                                          \
    "Requests that waited for the answer to another one's equal question.")                                              \
  X(authorizer_full,               counter, "weir_authorizer_overflows_total", "",                                       \
    "Requests that were refused because too many questions waited for the authorizer's service.")                        \
  X(authorizer_unsolicited,        counter, "weir_authorizer_unsolicited_total", "",                                     \
    "Connections to the authorizer's service that were closed because it sent what nobody had asked for.")               \
  X(tls_handshakes_failed,         counter, "weir_tls_failures_total", "side=\"client\",phase=\"handshake\"",            \
    "TLS connections that ended by a violation, or inside the handshake.")                                               \
  X(tls_connections_failed,        counter, "weir_tls_failures_total", "side=\"client\",phase=\"connection\"", "")       \
  X(tls_upstream_failed,           counter, "weir_tls_failures_total", "side=\"upstream\",phase=\"handshake\"", "")      \
  X(unreadable_requests,           counter, "weir_unreadable_bodies_total", "part=\"request\"",                          \
    "Bodies that were forwarded but could not be read for the record.")                                                  \
  X(unreadable_answers,            counter, "weir_unreadable_bodies_total", "part=\"answer\"", "")                       \
  X(events_unread,                 counter, "weir_unread_events_total", "",                                              \
    "Events of streams that were forwarded but not read: too long, or no event memory was left.")                        \
  X(event_memory,                  gauge,   "weir_event_memory_bytes", "",                                               \
    "Memory that events hold which are being read.")                                                                     \
  X(body_memory,                   gauge,   "weir_body_memory_bytes", "",                                                \
    "Memory that request bodies hold which are being received or sent.")                                                 \
  X(receive_buffers_free,          gauge,   "weir_receive_buffers_free", "",                                             \
    "Receive buffers that the kernel can fill.")                                                                         \
  X(receives_starved,              counter, "weir_receive_buffers_exhausted_total", "",                                  \
    "Receives that found no buffer and waited for one.")                                                                 \
  X(stale_completions,             counter, "weir_stale_completions_total", "",                                          \
    "Completions of a connection that was gone; anything but 0 is a fault in weir or the kernel.")                       \
  X(journal_records,               counter, "weir_journal_records_total", "",                                            \
    "Records written to the journals.")                                                                                  \
  X(journal_backlog,               gauge,   "weir_journal_backlog_records", "",                                          \
    "Records that wait in memory because their journal is full.")
// clang-format on

struct alignas(64) WorkerCounters {
#define WEIR_COUNTER_FIELD(field, kind, metric, labels, help) Counter field;
  WEIR_WORKER_COUNTERS(WEIR_COUNTER_FIELD)
#undef WEIR_COUNTER_FIELD
  std::array<Counter, gateway::kRefusalCount> refusals;  // by Refusal; `none` stays 0
  Histogram first_byte;                                  // from the whole head to the first byte of the answer's body
  Histogram duration;                                    // from the whole head to the end
  Histogram turn;                                        // what a worker did between two waits
  Counter longest_turn_us;                               // of them, since the start
};

enum class MetricKind : uint8_t { counter, gauge };
struct CounterRow {
  Counter WorkerCounters::* field;
  MetricKind kind;
  std::string_view metric;
  std::string_view labels;  // as in the exposition: `side="client"`; empty: none
  std::string_view help;    // of a metric's first row
};
std::span<const CounterRow> counter_rows();

}  // namespace weir::proxy
