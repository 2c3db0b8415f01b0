package cli

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
)

// grouping are the flags of heddle workload group create; they are istioctl's.
type grouping struct {
	name, namespace, account   string
	labels, annotations, ports []string
}

func groupCreateCommand(e *Env) *cobra.Command {
	var f grouping
	c := &cobra.Command{
		Use: "create --name GROUP -n NAMESPACE", Short: "Write a WorkloadGroup, to be applied", Args: noArgs,
		Example: "  heddle workload group create --name web-vms -n shop --labels app=web --ports http=8080 --service-account web > group.yaml",
		RunE:    func(*cobra.Command, []string) error { return f.run(e) },
	}
	s := c.Flags()
	s.StringVar(&f.name, "name", "", "name of the group")
	s.StringVarP(&f.namespace, "namespace", "n", "default", "its namespace")
	s.StringVarP(&f.account, "service-account", "s", "default", "service account of its workloads")
	s.StringSliceVarP(&f.labels, "labels", "l", nil, "labels of its workloads, KEY=VALUE (repeated)")
	s.StringSliceVarP(&f.annotations, "annotations", "a", nil, "annotations of their entries, KEY=VALUE (repeated)")
	s.StringSliceVarP(&f.ports, "ports", "p", nil, "their ports, NAME=NUMBER (repeated)")
	return c
}

func (f *grouping) run(e *Env) error {
	if f.name == "" {
		return errors.New("--name is missing; it is the name of the group")
	}
	metadata, template, ports := map[string]any{}, map[string]any{"serviceAccount": f.account}, map[string]int{}
	for flag, list := range map[string][]string{"labels": f.labels, "annotations": f.annotations} {
		pairs, err := pairsOf(flag, list)
		if err != nil {
			return err
		}
		if len(pairs) > 0 {
			metadata[flag] = pairs
		}
	}
	named, err := pairsOf("ports", f.ports)
	if err != nil {
		return err
	}
	for name, number := range maps.All(named) {
		if ports[name], err = strconv.Atoi(number); err != nil {
			return fmt.Errorf("--ports %s=%s: %s is not a port number", name, number, number)
		}
	}
	if len(ports) > 0 {
		template["ports"] = ports
	}
	spec := map[string]any{"template": template}
	if len(metadata) > 0 {
		spec["metadata"] = metadata
	}
	text, err := yaml.Marshal(map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup", "metadata": map[string]any{"name": f.name, "namespace": f.namespace}, "spec": spec})
	if err != nil {
		return fmt.Errorf("write the group: %w", err)
	}
	if _, problems := api.DecodeAll(text, ""); !api.Valid(problems) {
		return fmt.Errorf("the group would not be valid: %s: %s", problems[0].Field, problems[0].Message)
	}
	_, err = e.out().Write(text)
	return err
}

func pairsOf(flag string, list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, text := range list {
		k, v, ok := strings.Cut(text, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("--%s %q: want NAME=VALUE", flag, text)
		}
		out[k] = v
	}
	return out, nil
}
