/* engine/spec.h - what an engine must know of a profile (a line) and of a phone (a device)
 *
 * Plain values with bounded members. One malloc each; whoever frees one zeroes its secrets first.
 */
#pragma once

#include "event/view.h"

