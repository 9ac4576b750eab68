/* Workers pull nothing: the web thread hands each one request at a time, so that a worker which waits for a
 * database holds up no request but its own, and no lock is needed around the queue.
 */
#include "http/private.h"

#include "base/metric.h"

#include <poll.h>
#include <semaphore.h>
#include <stdio.h>

METRIC_GAUGE(queued_metric, "jackfield_http_queued", "Requests waiting for a worker", NULL);

struct worker {
	struct crew *crew;
	unsigned index;
	pthread_t thread;
	bool running, failed;
	struct ring *inbox; /* of struct web_req *; NULL: end */
	sem_t started;
};

struct crew {
	struct web *web;
	struct web_crew setup;
	struct worker *workers;
	unsigned *idle; /* a stack: the worker last used is warm */
	unsigned idle_count;
	struct web_req *head, **tail;
	unsigned queued;
};

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	const struct web_crew *setup = &worker->crew->setup;
	struct web *web = worker->crew->web;
	void *state = setup->start(setup->arg, worker->index);
	struct web_req *req = NULL;

	worker->failed = !state;
	sem_post(&worker->started);
	if (!state)
		return NULL;

	for (;;) {
		struct pollfd pfd = { .fd = ring_fd(worker->inbox), .events = POLLIN };

		if (poll(&pfd, 1, -1) < 0)
			continue; /* EINTR */
		ring_ack(worker->inbox);
		while (ring_pop(worker->inbox, &req)) {
			if (!req) {
				setup->stop(state);
				return NULL;
			}
			setup->handle(state, req);
			web_send(web, &(struct web_msg){ .kind = WEB_MSG_IDLE,
							 .worker = worker->index });
		}
	}
}

struct crew *crew_new(struct web *web, const struct web_crew *setup)
{
	struct crew *crew = xzalloc(sizeof(*crew));

	bug_on(!setup->workers || !setup->start || !setup->handle || !setup->stop);
	crew->web = web;
	crew->setup = *setup;
	crew->tail = &crew->head;
	crew->workers = xzalloc_array(setup->workers, sizeof(*crew->workers));
	crew->idle = xzalloc_array(setup->workers, sizeof(*crew->idle));
	return crew;
}

bool crew_start(struct crew *crew)
{
	bool all = true;

	for (unsigned i = 0; i < crew->setup.workers; i++) {
		struct worker *worker = &crew->workers[i];
		char name[16];

		worker->crew = crew;
		worker->index = i;
		worker->inbox = ring_new(sizeof(struct web_req *), 4);
		sem_init(&worker->started, 0, 0);
		if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
			return false;
		worker->running = true;
		snprintf(name, sizeof(name), "api-%u", i);
		pthread_setname_np(worker->thread, name);
	}
	for (unsigned i = 0; i < crew->setup.workers; i++) {
		while (sem_wait(&crew->workers[i].started) != 0)
			;
		all = all && !crew->workers[i].failed;
		crew->idle[crew->idle_count++] = i;
	}
	return all;
}

struct crew *crew_free(struct crew *crew)
{
	struct web_req *none = NULL;

	if (!crew)
		return NULL;
	for (unsigned i = 0; i < crew->setup.workers; i++) {
		struct worker *worker = &crew->workers[i];

		if (worker->running) {
			bug_on(!worker->failed && !ring_push(worker->inbox, &none));
			pthread_join(worker->thread, NULL);
			sem_destroy(&worker->started);
		}
		ring_free(worker->inbox);
	}
	free(crew->workers);
	free(crew->idle);
	free(crew);
	return NULL;
}

static void crew_hand(struct crew *crew, struct web_req *req)
{
	unsigned worker = crew->idle[--crew->idle_count];

	req->state = REQ_WORKING;
	bug_on(!ring_push(crew->workers[worker].inbox, &req));
}

bool crew_submit(struct crew *crew, struct web_req *req)
{
	if (crew->idle_count) {
		crew_hand(crew, req);
		return true;
	}
	if (crew->queued >= crew->setup.queue && !req->begun)
		return false;

	req->state = REQ_QUEUED;
	req->next = NULL;
	*crew->tail = req;
	crew->tail = &req->next;
	crew->queued++;
	metric_set(&queued_metric, crew->queued);
	return true;
}

void crew_worker_idle(struct crew *crew, unsigned worker)
{
	struct web_req *req = crew->head;

	crew->idle[crew->idle_count++] = worker;
	if (!req)
		return;

	crew->head = req->next;
	if (!crew->head)
		crew->tail = &crew->head;
	crew->queued--;
	metric_set(&queued_metric, crew->queued);
	crew_hand(crew, req);
}

bool crew_has_room(const struct crew *crew)
{
	return crew->idle_count || crew->queued < crew->setup.queue;
}
