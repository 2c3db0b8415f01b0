package kube

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
)

// fieldManager names heddled in the API's records of who wrote what.
const fieldManager = "heddled"

// WriteStatus patches the status of an object . Lists are written whole, so the patch is bound to the version of the object that it was
// made from: what another controller wrote meanwhile is never lost.
func (s *Source) WriteStatus(ctx context.Context, o api.Object, doc map[string]any) error {
	resource, ok := s.Served(o.Kind)
	if !ok {
		return config.ErrGone
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": o.Meta.ResourceVersion}, "status": doc})
	if err != nil {
		return fmt.Errorf("write status of %s: %w", o.Ref(), err)
	}
	_, err = s.client.dynamic.Resource(resource).Namespace(o.Meta.Namespace).
		Patch(ctx, o.Meta.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}, "status")
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err):
		return config.ErrGone
	case apierrors.IsConflict(err):
		return config.ErrStale
	}
	return fmt.Errorf("write status of %s: %w", o.Ref(), err)
}
