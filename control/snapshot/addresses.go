package snapshot

import (
	"github.com/heddle-mesh/heddle/control/registry"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
)

// assigned are the addresses that were given to the hosts of a ServiceEntry, as its status has them. What another object defines has them there.
func (b *Builder) assigned(d *registry.Definition) (out []condition.Address) {
	for _, defined := range d.Services {
		s, ok := b.now.Services.Get(defined.ID)
		if !ok || !s.AutoAddress || s.Origin != d.Origin {
			continue
		}
		for _, ip := range s.Addresses {
			out = append(out, condition.Address{Value: ip.String(), Host: string(s.ID.Host)})
		}
	}
	return out
}

// tellAddress has the status of an entry written again when what it defines has changed.
func (b *Builder) tellAddress(s *mesh.Service) {
	if s != nil && s.Origin.Kind == "ServiceEntry" {
		b.told[s.Origin] = struct{}{}
	}
}
