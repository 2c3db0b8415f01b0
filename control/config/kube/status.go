package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
)

// fieldManager names heddled in the API's records of who wrote what.
const fieldManager = "heddled"

// WriteStatus patches the status of an object. Lists are written whole, so the patch is bound to the version of the object that it was
// made from: what another controller wrote meanwhile is never lost. In Kubernetes' own kinds conditions are merged by their type, so only ours is sent.
func (s *Source) WriteStatus(ctx context.Context, o api.Object, doc map[string]any) error {
	resource, ok := s.Served(o.Kind)
	if !ok {
		return config.ErrGone
	}
	kind, change := types.MergePatchType, map[string]any{"metadata": map[string]any{"resourceVersion": o.Meta.ResourceVersion}, "status": doc}
	if o.Kind.Conditioned() {
		kind, change = types.StrategicMergePatchType, map[string]any{"status": ownConditions(doc)}
	}
	patch, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("write status of %s: %w", o.Ref(), err)
	}
	_, err = s.client.dynamic.Resource(resource).Namespace(o.Meta.Namespace).
		Patch(ctx, o.Meta.Name, kind, patch, metav1.PatchOptions{FieldManager: fieldManager}, "status")
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err):
		return config.ErrGone
	case apierrors.IsConflict(err):
		return config.ErrStale
	}
	return fmt.Errorf("write status of %s: %w", o.Ref(), s.client.explain(err))
}

// ownConditions is a status without the conditions of others.
func ownConditions(doc map[string]any) map[string]any {
	own := []any{}
	list, _ := doc["conditions"].([]any)
	for _, c := range list {
		if m, ok := c.(map[string]any); ok {
			if name, _ := m["type"].(string); strings.HasPrefix(name, ownDomain) {
				own = append(own, c)
			}
		}
	}
	return map[string]any{"conditions": own}
}

// ownDomain is that of Heddle's conditions in Kubernetes' own kinds.
const ownDomain = "heddle.dev/"
