/* SPDX-License-Identifier: Apache-2.0 */
/* cloister/types.h - what all public headers need. */
#ifndef CLOISTER_TYPES_H
#define CLOISTER_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef CLO_API
#define CLO_API __attribute__((visibility("default")))
#endif
#define CLO_CHECKED __attribute__((warn_unused_result))

#define CLO_NO_GPA UINT64_MAX

struct clo_host;
struct clo_vm;
struct clo_vcpu;
struct clo_gmem;
struct clo_gmem_pin;

#endif
