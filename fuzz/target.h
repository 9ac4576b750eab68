/* fuzz/target.h - what each fuzz target defines: one input, any bytes; it returns 0 and has no memory of it */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
