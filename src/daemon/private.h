/* daemon/private.h - the daemon's own parts */
#pragma once

#include "base/base.h"
#include "daemon/core.h"
#include "daemon/settings.h"
#include "db/db.h"
#include "store/seal.h"

/* ---- serve.c: `jackfield serve`. Return: the process's exit code. ---- */
int serve(const struct settings_flags *flags, struct config *config);

/* ---- admin.c: `jackfield create-admin`. Return: the process's exit code. ---- */
int create_admin(const struct config *config, const char *email);

/* ---- place.c: the data directory ---- */
/* Makes it (mode 0700) and holds it, so that no second daemon uses it. Return: 0 or negative, said in the log. */
must_check int place_take(const char *dir, int *ret_lock_fd);
/* Opens the configured database and brings its schema up. Return: 0, DB_E_AWAY (with *ret_db set), or another. */
must_check int place_open_db(const struct config *config, struct db **ret_db);

/* ---- repair.c: recordings that the last run left unfinished ---- */
struct repair;
/* Before the call loop starts. Return: 0 or what the database said. */
must_check int repair_find(struct db *db, const struct config *config, const struct seal *seal,
			   struct repair **ret_repair);
/* In the background, once the call loop runs. */
void repair_start(struct repair *repair, struct call_gate *gate);
/* Before the call loop ends; what is not looked at by then waits for the next start. */
struct repair *repair_free(struct repair *repair);

/* ---- sweep.c: recordings that have been kept long enough, and files that nobody knows ---- */
struct sweep;
/* A thread with a database connection of its own. */
void sweep_start(const struct config *config, struct sweep **ret_sweep);
struct sweep *sweep_stop(struct sweep *sweep);

/* ---- load.c ---- */
/* Tells the call loop of every tenant, user, profile and device. Return: 0 or what the database said. */
must_check int load_all(struct db *db, const struct seal *seal, struct call_gate *gate);
