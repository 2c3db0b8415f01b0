package settings

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/mesh"
)

// Networks reads a file with Istio's MeshNetworks and says of each setting why it has no effect; "" has none.
func Networks(path string) ([]mesh.Problem, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read mesh networks: %w; give --mesh-networks the path of a file with Istio's MeshNetworks, or leave it out", err)
	}
	problems, err := ParseNetworks(raw)
	if err != nil {
		return nil, fmt.Errorf("read mesh networks %s: %w", path, err)
	}
	for i := range problems {
		problems[i].Object = mesh.Ref{Kind: "MeshNetworks", Name: path}
	}
	return problems, nil
}

// ParseNetworks reads MeshNetworks in YAML.
func ParseNetworks(raw []byte) (out []mesh.Problem, err error) {
	text, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return nil, err
	}
	in := &meshconfig.MeshNetworks{}
	if err := protojson.Unmarshal(text, in); err != nil {
		return nil, err
	}
	tell := func(said bool, field, why string) {
		if said {
			out = append(out, mesh.Problem{Field: field, Code: mesh.CodeNotEnforced, Message: "the setting is not honoured: " + why, Hint: "remove it"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in.Networks)) {
		network := fmt.Sprintf("networks[%q]", name)
		for i, e := range in.Networks[name].GetEndpoints() {
			at := fmt.Sprintf("%s.endpoints[%d].", network, i)
			const why = "the mesh is of one cluster yet, and its endpoints of one network, but for those of a ServiceEntry or WorkloadEntry that name another"
			tell(e.GetFromCidr() != "", at+"fromCidr", why)
			tell(e.GetFromRegistry() != "", at+"fromRegistry", why)
		}
		for i, g := range in.Networks[name].GetGateways() {
			at := fmt.Sprintf("%s.gateways[%d].", network, i)
			const why = "endpoints of other networks are dialled themselves, not their network's gateway"
			tell(g.GetRegistryServiceName() != "", at+"registryServiceName", why)
			tell(g.GetAddress() != "", at+"address", why)
			tell(g.GetPort() != 0, at+"port", why)
			tell(g.GetLocality() != "", at+"locality", why)
		}
	}
	return out, nil
}
