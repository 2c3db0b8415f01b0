package main

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// heddledUser and heddledGroup are who the control plane daemon is to RBAC.
const (
	heddledUser  = "heddle:heddled"
	heddledGroup = "heddle:control-planes"
	heddledRole  = "heddle:control-plane"
)

var (
	read  = []string{"get", "list", "watch"}
	write = []string{"create", "update", "patch", "delete"}
)

// meshGroups are the groups whose objects heddled reads and reports status on.
var meshGroups = []string{
	"networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io",
	"gateway.networking.k8s.io", "gateway.networking.x-k8s.io", "heddle.dev",
}

// heddledRules is all that the control plane may do in every namespace. It reads
// what users write, and writes status only: it can never change a user's spec,
// but for the entries of workloads that register themselves.
func heddledRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Verbs: read, Resources: []string{
			"services", "endpoints", "pods", "nodes", "namespaces", "configmaps", "secrets", "serviceaccounts"}},
		{APIGroups: []string{"discovery.k8s.io"}, Verbs: read, Resources: []string{"endpointslices"}},
		{APIGroups: []string{"networking.k8s.io"}, Verbs: read, Resources: []string{"ingresses", "ingressclasses"}},
		{APIGroups: []string{"networking.k8s.io"}, Verbs: []string{"update", "patch"}, Resources: []string{"ingresses/status"}},
		{APIGroups: []string{"apiextensions.k8s.io"}, Verbs: read, Resources: []string{"customresourcedefinitions"}},
		{APIGroups: meshGroups, Verbs: read, Resources: []string{"*"}},
		{APIGroups: meshGroups, Verbs: []string{"update", "patch"}, Resources: []string{"*/status"}},
		{APIGroups: []string{"networking.istio.io"}, Verbs: []string{"create", "patch", "delete"}, Resources: []string{"workloadentries"}},
		{APIGroups: []string{""}, Verbs: []string{"update", "patch"}, Resources: []string{"services/status", "namespaces/status"}},
		{APIGroups: []string{"", "events.k8s.io"}, Verbs: []string{"create", "patch"}, Resources: []string{"events"}},
		{APIGroups: []string{""}, Verbs: []string{"create"}, Resources: []string{"serviceaccounts/token"}},
		{APIGroups: []string{"authentication.k8s.io"}, Verbs: []string{"create"}, Resources: []string{"tokenreviews"}},
		{APIGroups: []string{"authorization.k8s.io"}, Verbs: []string{"create"}, Resources: []string{"subjectaccessreviews"}},
		// Its own webhooks: RBAC cannot name an object that is yet to be created.
		{APIGroups: []string{"admissionregistration.k8s.io"}, Verbs: []string{"get", "list", "watch", "create", "update", "patch"},
			Resources: []string{"validatingwebhookconfigurations", "mutatingwebhookconfigurations"}},
	}
}

// homeRules is what the control plane may do in the root namespace: elect a
// leader, and keep its CA and settings.
func homeRules() []rbacv1.PolicyRule {
	all := append(append([]string{}, read...), write...)
	return []rbacv1.PolicyRule{
		{APIGroups: []string{"coordination.k8s.io"}, Verbs: all, Resources: []string{"leases"}},
		{APIGroups: []string{""}, Verbs: all, Resources: []string{"secrets", "configmaps"}},
	}
}

// grantHeddled writes the roles and bindings of the control plane. Roles are
// brought back to this list at each start; bindings cannot change their role.
func (c *chain) grantHeddled(ctx context.Context) error {
	root := c.cfg.rootNamespace
	meta := metav1.ObjectMeta{Name: heddledRole}
	home := metav1.ObjectMeta{Name: heddledRole, Namespace: root}
	who := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: heddledGroup}}
	rbac := c.client.RbacV1()

	role := &rbacv1.ClusterRole{ObjectMeta: meta, Rules: heddledRules()}
	_, err := rbac.ClusterRoles().Create(ctx, role, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		var old *rbacv1.ClusterRole
		if old, err = rbac.ClusterRoles().Get(ctx, heddledRole, metav1.GetOptions{}); err == nil && !equality.Semantic.DeepEqual(old.Rules, role.Rules) {
			old.Rules = role.Rules
			_, err = rbac.ClusterRoles().Update(ctx, old, metav1.UpdateOptions{})
		}
	}
	if err != nil {
		return fmt.Errorf("role of heddled: %w", err)
	}
	homeRole := &rbacv1.Role{ObjectMeta: home, Rules: homeRules()}
	_, err = rbac.Roles(root).Create(ctx, homeRole, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		var old *rbacv1.Role
		if old, err = rbac.Roles(root).Get(ctx, heddledRole, metav1.GetOptions{}); err == nil && !equality.Semantic.DeepEqual(old.Rules, homeRole.Rules) {
			old.Rules = homeRole.Rules
			_, err = rbac.Roles(root).Update(ctx, old, metav1.UpdateOptions{})
		}
	}
	if err != nil {
		return fmt.Errorf("role of heddled in %s: %w", root, err)
	}
	_, err = rbac.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: who,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: heddledRole}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("binding of heddled: %w", err)
	}
	_, err = rbac.RoleBindings(root).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: home, Subjects: who,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: heddledRole}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("binding of heddled in %s: %w", root, err)
	}
	return nil
}
