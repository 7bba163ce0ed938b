/*
 * The JSON messages of the control protocol as plain C structs, in both
 * directions: the node writes requests and parses responses, the control server
 * the reverse (spec/control.md, sections 6 and 7).
 *
 * What all of them share is in tailcfg_base.h; each topic has its own header.
 */
#ifndef PROTO_TAILCFG_H
#define PROTO_TAILCFG_H

#include "proto/tailcfg_base.h"
#include "proto/tailcfg_derp.h"
#include "proto/tailcfg_dns.h"
#include "proto/tailcfg_filter.h"
#include "proto/tailcfg_hostinfo.h"
#include "proto/tailcfg_map.h"
#include "proto/tailcfg_node.h"
#include "proto/tailcfg_register.h"

#endif
