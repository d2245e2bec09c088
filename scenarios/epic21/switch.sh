#!/bin/sh
# Stands for what switches the traffic: feature flags, a load balancer. The demo has none, so this notes what was asked for.
set -eu
echo "$(date -u +%FT%TZ) $1% for $LOADGATE_ROLLOUT $LOADGATE_RELEASE, phase $LOADGATE_PHASE" >> "$LOADGATE_STATE/switch.log"
echo "switched to $1%"
