//go:build crdmodules

package main

// The CustomResourceDefinitions come from these modules; importing a package of
// each keeps their versions pinned in go.mod.
import (
	_ "istio.io/api/meta/v1alpha1"
	_ "sigs.k8s.io/gateway-api/pkg/consts"
)
