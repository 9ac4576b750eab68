/* base/metric.c - the metrics lie in one linker section; printing sorts and groups them */
#include "base/metric.h"

#include <inttypes.h>
#include <stdio.h>

/* Weak: a program without a single metric has no such section. */
extern struct metric *const __start_metrics[] __attribute__((weak));
extern struct metric *const __stop_metrics[] __attribute__((weak));

void metric_observe_us(struct metric *metric, int64_t us)
{
	unsigned i = 0;
	int64_t bound_us = 1000;

	while (i < METRIC_BUCKETS - 1 && us > bound_us) {
		bound_us *= 2;
		i++;
	}
	atomic_fetch_add_explicit(&metric->bucket[i], 1, memory_order_relaxed);
	metric_add(metric, us);
}

static int by_name(const void *a, const void *b)
{
	const struct metric *left = *(struct metric *const *)a;
	const struct metric *right = *(struct metric *const *)b;
	int order = strcmp(left->name, right->name);

	return order ? order
		     : strcmp(left->labels ? left->labels : "", right->labels ? right->labels : "");
}

static void print_labels(struct buf *out, const struct metric *metric, const char *le)
{
	const char *labels = metric->labels ? metric->labels : "";

	if (!*labels && !le)
		return;
	buf_addf(out, "{%s", labels);
	if (le)
		buf_addf(out, "%sle=\"%s\"", *labels ? "," : "", le);
	buf_addc(out, '}');
}

static void print_histogram(struct buf *out, struct metric *metric)
{
	int64_t total = 0;

	for (unsigned i = 0; i < METRIC_BUCKETS; i++) {
		char le[24] = "+Inf";

		total += atomic_load_explicit(&metric->bucket[i], memory_order_relaxed);
		if (i < METRIC_BUCKETS - 1)
			snprintf(le, sizeof(le), "%g", (double)(1u << i) / 1000);
		buf_addf(out, "%s_bucket", metric->name);
		print_labels(out, metric, le);
		buf_addf(out, " %" PRId64 "\n", total);
	}
	buf_addf(out, "%s_sum", metric->name);
	print_labels(out, metric, NULL);
	buf_addf(out, " %.6f\n", (double)metric_get(metric) / 1e6);
	buf_addf(out, "%s_count", metric->name);
	print_labels(out, metric, NULL);
	buf_addf(out, " %" PRId64 "\n", total);
}

void metric_print_all(struct buf *out)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };
	size_t count = __start_metrics ? (size_t)(__stop_metrics - __start_metrics) : 0;
	auto_(free) struct metric **all = xzalloc_array(count, sizeof(*all));

	for (size_t i = 0; i < count; i++)
		all[i] = __start_metrics[i];
	qsort(all, count, sizeof(*all), by_name);

	for (size_t i = 0; i < count; i++) {
		struct metric *metric = all[i];

		if (!i || strcmp(all[i - 1]->name, metric->name) != 0)
			buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
				 metric->name, types[metric->type]);
		if (metric->type == METRIC_TYPE_HISTOGRAM) {
			print_histogram(out, metric);
			continue;
		}
		buf_adds(out, metric->name);
		print_labels(out, metric, NULL);
		buf_addf(out, " %" PRId64 "\n", metric_get(metric));
	}
}
