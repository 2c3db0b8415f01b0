package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/control/register/bootstrap"
)

// rootsOfNamespace is the ConfigMap in which every namespace has the mesh's roots, and their key there.
const rootsOfNamespace, rootsKey = "istio-ca-root-cert", "root-cert.pem"

// askCluster gets what a machine needs that only the cluster has.
func (f *configuring) askCluster(ctx context.Context, o *bootstrap.Options) error {
	cfg, err := f.open()
	if err != nil {
		return fmt.Errorf("%w; or give --root-cert FILE to ask no cluster", err)
	}
	cfg.Timeout = f.timeout
	typed, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("use the cluster: %w", err)
	}
	if f.file == "" {
		d, err := dynamic.NewForConfig(cfg)
		if err != nil {
			return fmt.Errorf("use the cluster: %w", err)
		}
		if err := f.findGroup(ctx, d); err != nil {
			return err
		}
	}
	if f.meshConfig == "" {
		if err := f.meshOf(ctx, typed, o); err != nil {
			return err
		}
	}
	ns := f.group.Meta.Namespace
	roots, err := typed.CoreV1().ConfigMaps(ns).Get(ctx, rootsOfNamespace, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("find the mesh's roots: ConfigMap %s/%s: %w; heddled writes it into every namespace, so look whether it runs (heddle check)", ns, rootsOfNamespace, err)
	}
	f.rootsPEM = []byte(roots.Data[rootsKey])
	if !o.Ingress.IsValid() {
		o.Ingress = f.ingressOf(ctx, typed)
	}
	return f.issue(ctx, typed)
}

func (f *configuring) findGroup(ctx context.Context, d dynamic.Interface) error {
	k := api.Find(api.GroupNetworking, "WorkloadGroup")
	u, err := d.Resource(schema.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Plural}).Namespace(f.namespace).Get(ctx, f.name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("find WorkloadGroup %s/%s: %w; give -n NAMESPACE, or -f FILE", f.namespace, f.name, err)
	}
	o, problems := api.FromMap(u.Object)
	if !api.Valid(problems) {
		return fmt.Errorf("WorkloadGroup %s/%s is not valid: %s", f.namespace, f.name, problems[0])
	}
	f.group = o
	return nil
}

// meshOf reads the mesh's settings where heddled reads them; without any the defaults count.
func (f *configuring) meshOf(ctx context.Context, typed kubernetes.Interface, o *bootstrap.Options) error {
	name := cmp.Or(o.Service, "heddled")
	m, err := typed.CoreV1().ConfigMaps(f.plane).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the mesh's settings: ConfigMap %s/%s: %w; or give --mesh-config FILE", f.plane, name, err)
	}
	text := []byte(m.Data["mesh.yaml"])
	if o.Proxies, err = settings.ParseProxyConfig(text); err != nil {
		return fmt.Errorf("ConfigMap %s/%s: mesh.yaml: %w", f.plane, name, err)
	}
	whole, _, err := settings.Parse(text)
	if err != nil {
		return fmt.Errorf("ConfigMap %s/%s: mesh.yaml: %w", f.plane, name, err)
	}
	o.TrustDomain = cmp.Or(f.trust, whole.TrustDomain)
	return nil
}

// ingressOf is the address of the gateway's Service; the zero Addr where there is none.
func (f *configuring) ingressOf(ctx context.Context, typed kubernetes.Interface) netip.Addr {
	name, ns, ok := strings.Cut(f.ingressService, ".")
	if !ok {
		ns = f.plane
	}
	s, err := typed.CoreV1().Services(ns).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return netip.Addr{} // what is said at the end says what to do
	}
	return firstAddress(s)
}

func firstAddress(s *corev1.Service) netip.Addr {
	var all []string
	for _, i := range s.Status.LoadBalancer.Ingress {
		all = append(all, i.IP)
	}
	for _, text := range append(all, s.Spec.ExternalIPs...) {
		if ip, err := netip.ParseAddr(text); err == nil {
			return ip
		}
	}
	return netip.Addr{}
}

// issue makes the token of the group's service account.
func (f *configuring) issue(ctx context.Context, typed kubernetes.Interface) error {
	ns, account := f.group.Meta.Namespace, bootstrap.Account(f.group)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"istio-ca"}, ExpirationSeconds: new(int64(f.life.Seconds()))}}
	t, err := typed.CoreV1().ServiceAccounts(ns).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make a token of service account %s/%s: %w; kubectl create serviceaccount %s -n %s makes the account", ns, account, err, account, ns)
	}
	f.token, f.tokenEnds = t.Status.Token, t.Status.ExpirationTimestamp.Time
	return nil
}
