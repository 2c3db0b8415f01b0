#!/usr/bin/env bash
# import.sh ARCHIVE... gives OCI archives to every node of the cluster. There is no registry: give images a tag other than latest, or imagePullPolicy Never.
. "$(dirname "$0")/lib.sh"
for archive in "$@"; do
	for n in $(nodes_present); do import_image "$n" "$archive"; done
done
