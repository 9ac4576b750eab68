/* base/metric.h - counters, gauges and histograms for /metrics (Prometheus text format 0.0.4)
 *
 * Defined once at file scope, usable from any thread (relaxed atomics), registered by the linker's section:
 *
 *     METRIC_COUNTER(sip_dropped, "jackfield_sip_dropped_total", "Messages dropped unread", "reason=\"flood\"");
 *     metric_add(&sip_dropped, 1);
 */
#pragma once

#include "base/buf.h"

#include <stdatomic.h>

enum metric_type { METRIC_TYPE_COUNTER, METRIC_TYPE_GAUGE, METRIC_TYPE_HISTOGRAM };

#define METRIC_BUCKETS 12

struct metric {
	const char *name, *help, *labels; /* labels: `a="b",c="d"` or NULL */
	enum metric_type type;
	atomic_int_fast64_t value; /* counter, gauge; histogram: sum in microseconds */
	atomic_int_fast64_t
		bucket[METRIC_BUCKETS]; /* histogram: 1 ms .. 1024 ms doubling, then +Inf */
};

#define METRIC_DEFINE(var, kind, metric_name, help_text, label_text)                               \
	static struct metric var = {                                                               \
		.name = metric_name, .help = help_text, .labels = label_text, .type = kind         \
	};                                                                                         \
	static struct metric *const var##_entry                                                    \
		__attribute__((used, retain, section("metrics"))) = &var
#define METRIC_COUNTER(var, name, help, labels)                                                    \
	METRIC_DEFINE(var, METRIC_TYPE_COUNTER, name, help, labels)
#define METRIC_GAUGE(var, name, help, labels)                                                      \
	METRIC_DEFINE(var, METRIC_TYPE_GAUGE, name, help, labels)
#define METRIC_HISTOGRAM(var, name, help, labels)                                                  \
	METRIC_DEFINE(var, METRIC_TYPE_HISTOGRAM, name, help, labels)

static inline void metric_add(struct metric *metric, int64_t n)
{
	atomic_fetch_add_explicit(&metric->value, n, memory_order_relaxed);
}
static inline void metric_set(struct metric *metric, int64_t n)
{
	atomic_store_explicit(&metric->value, n, memory_order_relaxed);
}
static inline int64_t metric_get(struct metric *metric)
{
	return atomic_load_explicit(&metric->value, memory_order_relaxed);
}
void metric_observe_us(struct metric *metric, int64_t us);
/* All metrics, grouped by name, as Prometheus text. */
void metric_print_all(struct buf *out);
