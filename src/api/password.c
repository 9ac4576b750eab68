/* argon2id takes tens of milliseconds and megabytes, so it has threads of its own, and the request waits parked. */
#include "api/private.h"

#include "base/work.h"

#include <sodium.h>

/* OWASP's second choice for argon2id: 19 MiB, two passes */
#define HASH_OPS 2
#define HASH_MEM (19u * 1024 * 1024)
#define HASH_WAIT_MS 20000

struct hash_job {
	atomic_int refs; /* the hasher's and the request's */
	struct web_token token;
	char *password, *hash, *new_password;
	struct api_done *(*next)(struct api_req *req, void *result);
	atomic_bool finished;
	struct password_result result;
};

static void secret_free(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

static void job_unref(void *arg)
{
	struct hash_job *job = arg;

	if (atomic_fetch_sub(&job->refs, 1) != 1)
		return;
	secret_free(job->password);
	secret_free(job->new_password);
	free(job->hash);
	if (job->result.state_free)
		job->result.state_free(job->result.state);
	explicit_bzero(&job->result, sizeof(job->result));
	free(job);
}

static bool hash_make(char out[static crypto_pwhash_STRBYTES], const char *password)
{
	if (crypto_pwhash_str_alg(out, password, strlen(password), HASH_OPS, HASH_MEM,
				  crypto_pwhash_ALG_ARGON2ID13) == 0)
		return true;
	log_error("argon2id: no memory");
	return false;
}

static void job_run(void *arg)
{
	struct hash_job *job = arg;

	if (job->hash)
		job->result.matches = crypto_pwhash_str_verify(job->hash, job->password,
							       strlen(job->password)) == 0;
	if (job->new_password && (!job->hash || job->result.matches) &&
	    !hash_make(job->result.new_hash, job->new_password))
		job->result.new_hash[0] = '\0';
	atomic_store(&job->finished, true);
	web_wake(job->token);
	job_unref(job);
}

static struct api_done *job_next(struct api_req *req, void *state)
{
	struct hash_job *job = state;

	if (!atomic_load(&job->finished)) {
		web_add_header(req->web, "Retry-After", "5");
		return api_error(req, 503, "overloaded");
	}
	return job->next(req, &job->result);
}

struct api_done *api_hash(struct api_req *req, const char *password, const char *hash,
			  const char *new_password,
			  struct api_done *(*next)(struct api_req *req, void *result), void *state,
			  void (*state_free)(void *state))
{
	struct hash_job *job = xzalloc(sizeof(*job));
	struct work work = { .run = job_run, .arg = job };

	_Static_assert(sizeof(job->result.new_hash) >= crypto_pwhash_STRBYTES, "room for a hash");
	atomic_init(&job->refs, 2);
	job->token = web_park_token(req->web);
	job->password = xstrdup(password);
	job->hash = hash ? xstrdup(hash) : NULL;
	job->new_password = new_password ? xstrdup(new_password) : NULL;
	job->next = next;
	job->result.state = state;
	job->result.state_free = state_free;
	if (!work_submit(req->api->hashers, &work)) {
		web_token_drop(job->token);
		atomic_store(&job->refs, 1);
		job_unref(job);
		web_add_header(req->web, "Retry-After", "2");
		return api_error(req, 503, "overloaded");
	}
	return api_park(req, HASH_WAIT_MS, job_next, job, job_unref);
}

char *api_password_hash(const char *password)
{
	char out[crypto_pwhash_STRBYTES];

	return hash_make(out, password) ? xstrdup(out) : NULL;
}

const char *api_password_complaint(const char *password)
{
	size_t len = strlen(password);

	if (len < 8)
		return "This password is too short. It must contain at least 8 characters.";
	if (len > 256)
		return "Ensure this field has no more than 256 characters.";
	if (strspn(password, "0123456789") == len)
		return "This password is entirely numeric.";
	return NULL;
}
