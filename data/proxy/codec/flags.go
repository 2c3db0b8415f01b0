package codec

import (
	"slices"
	"strings"
	"sync"
)

// Flag is one of Envoy's response flags.
type Flag uint8

// The flags.
const (
	NoFlag Flag = iota
	FlagNoHealthyUpstream
	FlagUpstreamRequestTimeout
	FlagLocalReset
	FlagUpstreamRemoteReset
	FlagUpstreamConnectionFailure
	FlagUpstreamConnectionTermination
	FlagUpstreamOverflow
	FlagNoRoute
	FlagDelayInjected
	FlagFaultInjected
	FlagDownstreamConnectionTermination
	FlagUpstreamRetryLimitExceeded
	FlagStreamIdleTimeout
	FlagDownstreamProtocolError
	FlagUpstreamMaxDuration
	FlagDurationTimeout
	FlagUpstreamProtocolError
	FlagNoCluster
	FlagOverloadManager
	FlagDownstreamRemoteReset
	FlagDNSResolutionFailed
	FlagUnauthorizedExternalService
)

var flagNames = []string{"", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "DC", "URX", "SI", "DPE", "UMSDR", "DT", "UPE", "NC", "OM", "DR", "DF", "UAEX"}

// String is the short name.
func (f Flag) String() string { return flagNames[f] }

// ParseFlag finds a flag by its short name; NoFlag if there is none.
func ParseFlag(name string) Flag { return Flag(max(slices.Index(flagNames, name), 0)) }

// Flags are up to eight flags in the order in which they were set, which is the order of Envoy's log.
type Flags uint64

// Has says whether the flag is set.
func (f Flags) Has(flag Flag) bool {
	for ; f != 0; f >>= 8 {
		if Flag(f&0xff) == flag {
			return true
		}
	}
	return false
}

// With sets a flag behind those that are set.
func (f Flags) With(flag Flag) Flags {
	if flag == NoFlag || f.Has(flag) || f>>56 != 0 {
		return f
	}
	shift := 0
	for g := f; g != 0; g >>= 8 {
		shift += 8
	}
	return f | Flags(flag)<<shift
}

// combinations remembers the texts of combinations, of which few occur.
var combinations sync.Map

// String is the short names with commas in between, "" for none.
func (f Flags) String() string {
	if f <= 0xff {
		return flagNames[f]
	}
	if s, ok := combinations.Load(f); ok {
		return s.(string)
	}
	var list []string
	for g := f; g != 0; g >>= 8 {
		list = append(list, flagNames[g&0xff])
	}
	s := strings.Join(list, ",")
	combinations.Store(f, s)
	return s
}
