// Package resident gives memory back to the system when a process has come to rest.
//
// A daemon that has read its configuration, or has seen a crowd come and go, allocates next to nothing afterwards, so that the garbage collector has no reason to run for minutes;
// and most of the program itself was needed for the start alone. Both would stay in memory.
package resident
