package istio

import (
	"math/big"

	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

// The bounds of sizes that Envoy accepts (RingHashLbConfig.minimum_ring_size, MaglevLbConfig.table_size).
const (
	maxRingSize   = 8 << 20
	maxMaglevSize = 5_000_011
)

func (v *visit) consistentHash(x *networking.LoadBalancerSettings_ConsistentHashLB, path string) *mesh.ConsistentHash {
	h := &mesh.ConsistentHash{}
	switch key := x.HashKey.(type) {
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName:
		h.Header = v.name(key.HttpHeaderName, path+".httpHeaderName")
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpQueryParameterName:
		h.Query = v.name(key.HttpQueryParameterName, path+".httpQueryParameterName")
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpCookie:
		h.Cookie = v.hashCookie(key.HttpCookie, path+".httpCookie")
	case *networking.LoadBalancerSettings_ConsistentHashLB_UseSourceIp:
		if h.SourceIP = key.UseSourceIp; !h.SourceIP {
			v.Invalid(path+".useSourceIp", "false says nothing to hash by; write true, or another key")
		}
	default:
		v.Invalid(path, "one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName is wanted")
	}
	switch a := x.HashAlgorithm.(type) {
	case *networking.LoadBalancerSettings_ConsistentHashLB_Maglev:
		h.Maglev, h.Size = true, a.Maglev.GetTableSize()
		if h.Size != 0 && (h.Size > maxMaglevSize || !new(big.Int).SetUint64(h.Size).ProbablyPrime(0)) {
			v.Invalid(path+".maglev.tableSize", "%d is not a prime number of at most %d", h.Size, maxMaglevSize)
		}
	case *networking.LoadBalancerSettings_ConsistentHashLB_RingHash_:
		h.Size = v.ringSize(a.RingHash.GetMinimumRingSize(), path+".ringHash.minimumRingSize")
	default:
		h.Size = v.ringSize(x.MinimumRingSize, path+".minimumRingSize") //nolint:staticcheck // deprecated, and still written by users
	}
	return h
}

func (v *visit) ringSize(n uint64, path string) uint64 {
	if n > maxRingSize {
		v.Invalid(path, "%d is more than %d", n, maxRingSize)
	}
	return n
}

// name checks that a name is there.
func (v *visit) name(name, path string) string {
	if name == "" {
		v.Invalid(path, "the name is empty")
	}
	return name
}

func (v *visit) hashCookie(x *networking.LoadBalancerSettings_ConsistentHashLB_HTTPCookie, path string) *mesh.HashCookie {
	c := &mesh.HashCookie{Name: v.name(x.GetName(), path+".name"), Path: x.GetPath()}
	if x.GetTtl() != nil {
		ttl := x.Ttl.AsDuration()
		if ttl < 0 {
			v.Invalid(path+".ttl", "%s is negative", ttl)
		}
		c.TTL = &ttl
	}
	for i, a := range x.GetAttributes() {
		c.Attributes = append(c.Attributes, mesh.CookieAttribute{Name: v.name(a.GetName(), at(path+".attributes", i)+".name"), Value: a.GetValue()})
	}
	return c
}
