/* store/store.h - the tables: one header each, all of them from here
 *
 * Functions run on the caller's own connection and thread. Strings that come back live in the arena given.
 * Every statement carries the tenant, except where a person or phone is only just being recognised
 * (login, refresh, registrar) and where the daemon loads everything at start; those say so.
 * All return 0, the DB_E_* of db/db.h, or an outcome that they name.
 */
#pragma once

#include "store/audit.h"
#include "store/call.h"
#include "store/device.h"
#include "store/idempotency.h"
#include "store/monitor.h"
#include "store/prompt.h"
#include "store/recording.h"
#include "store/room.h"
#include "store/seal.h"
#include "store/session.h"
#include "store/setting.h"
#include "store/sip_profile.h"
#include "store/tenant.h"
#include "store/user.h"

/* Brings the schema up to this program's version. Return: 0, DB_MIGRATE_E_NEWER, DB_E_AWAY, DB_E_BUSY. */
must_check int store_migrate(struct db *db);
/* Rows that time has made useless: expired sessions, old idempotency keys. Call it now and then, from a worker. */
must_check int store_prune(struct db *db, int64_t now_us);
