package jobs

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/yaml"
)

// With adds to a configuration what a user wrote in Prometheus' language: where to send samples (remote_write), the labels that they have there
// (global.external_labels), and further scrape_configs. Any other field is refused, because the mesh has said it already or because nothing honours it.
func With(configuration string, more []byte) (string, error) {
	var base, added map[string]any
	if err := yaml.Unmarshal([]byte(configuration), &base); err != nil {
		return "", fmt.Errorf("read the mesh's own configuration: %w", err)
	}
	if err := yaml.UnmarshalStrict(more, &added); err != nil {
		return "", fmt.Errorf("it is not YAML: %w", err)
	}
	for _, field := range slices.Sorted(maps.Keys(added)) {
		switch field {
		case "remote_write":
			base[field] = added[field]
		case "scrape_configs":
			list, ok := added[field].([]any)
			if !ok {
				return "", errors.New("scrape_configs is not a list")
			}
			base[field] = append(base[field].([]any), list...)
		case "global":
			global, ok := added[field].(map[string]any)
			if !ok {
				return "", errors.New("global is not an object")
			}
			for _, f := range slices.Sorted(maps.Keys(global)) {
				if f != "external_labels" {
					return "", fmt.Errorf("global.%s is the mesh's; of global only external_labels can be set", f)
				}
				base[field].(map[string]any)[f] = global[f]
			}
		default:
			return "", fmt.Errorf("%s cannot be set; use remote_write, scrape_configs and global.external_labels", field)
		}
	}
	b, err := yaml.Marshal(base)
	if err != nil {
		return "", fmt.Errorf("write the configuration: %w", err)
	}
	return string(b), nil
}
