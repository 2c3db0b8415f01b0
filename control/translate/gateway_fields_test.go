package translate_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate"
	"github.com/heddle-mesh/heddle/control/translate/text"
	"github.com/heddle-mesh/heddle/control/translate/world"
	"github.com/heddle-mesh/heddle/mesh"
)

type step struct {
	name  string
	index int
}

// goLeaves lists every path below a Go type that holds a value, by JSON name.
func goLeaves(t reflect.Type, trail []step, visit func([]step)) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		visit(trail)
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		goLeaves(f.Type, append(trail[:len(trail):len(trail)], step{name, i}), visit)
	}
}

// goPlant populates what is on the way to a leaf, and the leaf itself when asked to.
func goPlant(v reflect.Value, path []step, leaf bool) {
	for {
		switch {
		case v.Kind() == reflect.Pointer:
			if len(path) == 0 && !leaf {
				return
			}
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
			continue
		case v.Kind() == reflect.Slice:
			if len(path) == 0 && !leaf {
				return
			}
			if v.Len() == 0 {
				v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			}
			v = v.Index(0)
			continue
		}
		break
	}
	if len(path) > 0 {
		goPlant(v.Field(path[0].index), path[1:], leaf)
		return
	}
	if !leaf {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x-value")
		if v.Type().Name() == "AbsoluteURI" {
			v.SetString("x://value")
		}
		if v.Type().Name() == "Duration" {
			v.SetString("7s")
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("k").Convert(v.Type().Key()), reflect.ValueOf("v").Convert(v.Type().Elem()))
	}
}

const gatewayWorld = `{"apiVersion":"v1","kind":"Service","metadata":{"name":"s","namespace":"ns"},"spec":{"ports":[{"name":"http","port":80},{"name":"grpc","port":81}]}}
---
{"apiVersion":"gateway.networking.k8s.io/v1","kind":"Gateway","metadata":{"name":"g","namespace":"ns"},"spec":{"gatewayClassName":"heddle","listeners":[{"name":"l","port":80,"protocol":"HTTP"},{"name":"tcp","port":81,"protocol":"TCP"},{"name":"udp","port":82,"protocol":"UDP"},
{"name":"tls","port":83,"protocol":"TLS","tls":{"mode":"Passthrough"}}]}}
`

var gatewayBases = map[string][]string{
	"Gateway": {
		`{"gatewayClassName":"heddle","listeners":[{"name":"l","port":80,"protocol":"HTTP"}]}`,
		`{"gatewayClassName":"heddle","listeners":[{"name":"l","port":80,"protocol":"HTTP","allowedRoutes":{"namespaces":{"from":"Selector","selector":{}}}}]}`,
		`{"gatewayClassName":"heddle","addresses":[{"type":"Hostname","value":"s"}],"listeners":[{"name":"l","port":80,"protocol":"HTTP"}]}`,
		`{"gatewayClassName":"heddle","listeners":[{"name":"l","port":443,"protocol":"HTTPS","tls":{"certificateRefs":[{"name":"c"}]}}]}`,
		`{"gatewayClassName":"heddle","tls":{"frontend":{"default":{"validation":{"caCertificateRefs":[{"kind":"ConfigMap","name":"c"}]}},"perPort":[{"port":8443,"tls":{"validation":{"caCertificateRefs":[{"kind":"ConfigMap","name":"c"}]}}}]}},
			"listeners":[{"name":"l","port":443,"protocol":"HTTPS","tls":{"certificateRefs":[{"name":"c"}]}},{"name":"m","port":8443,"protocol":"HTTPS","tls":{"certificateRefs":[{"name":"c"}]}}]}`,
	},
	"HTTPRoute": {
		`{"parentRefs":[{"name":"g"}],"rules":[{"matches":[{"path":{"value":"/x"},"headers":[{"name":"h","value":"v"}],"queryParams":[{"name":"q","value":"v"}]}],"backendRefs":[{"name":"s","port":80,
			"filters":[{"type":"RequestHeaderModifier","requestHeaderModifier":{"remove":["x"]}}]}],
			"filters":[{"type":"RequestHeaderModifier","requestHeaderModifier":{"remove":["x"]}}],"retry":{"attempts":1},"timeouts":{"request":"9s"}}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"CORS","cors":{"allowOrigins":["*"]}}],"backendRefs":[{"name":"s","port":80}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"ExternalAuth"}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"ExternalAuth","externalAuth":{"protocol":"GRPC","backendRef":{"name":"s","port":81}}}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"ExternalAuth","externalAuth":{"protocol":"HTTP","backendRef":{"name":"s","port":80}}}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"ExtensionRef"}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"backendRefs":[{"name":"s","port":80,"filters":[{"type":"CORS"}]}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"RequestRedirect"}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"RequestRedirect","requestRedirect":{"path":{"type":"ReplaceFullPath"}}}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"RequestRedirect","requestRedirect":{"path":{"type":"ReplacePrefixMatch"}}}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"URLRewrite","urlRewrite":{"path":{"type":"ReplaceFullPath"}}}],"backendRefs":[{"name":"s","port":80}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"URLRewrite","urlRewrite":{"path":{"type":"ReplacePrefixMatch"}}}],"backendRefs":[{"name":"s","port":80}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"RequestHeaderModifier","requestHeaderModifier":{"set":[{"name":"h","value":"v"}],"add":[{"name":"h","value":"v"}]}}],"backendRefs":[{"name":"s","port":80}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"ResponseHeaderModifier","responseHeaderModifier":{"set":[{"name":"h","value":"v"}],"add":[{"name":"h","value":"v"}]}}],"backendRefs":[{"name":"s","port":80}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"RequestMirror","requestMirror":{"backendRef":{"name":"s","port":80},"fraction":{"numerator":1}}}],"backendRefs":[{"name":"s","port":80}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"RequestMirror","requestMirror":{"backendRef":{"name":"s","port":80}}}],"backendRefs":[{"name":"s","port":80}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"backendRefs":[{"name":"s","port":80,"filters":[{"type":"RequestHeaderModifier","requestHeaderModifier":{"set":[{"name":"h","value":"v"}],"add":[{"name":"h","value":"v"}]}}]}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"backendRefs":[{"name":"s","port":80,"filters":[{"type":"ResponseHeaderModifier","responseHeaderModifier":{"set":[{"name":"h","value":"v"}],"add":[{"name":"h","value":"v"}]}}]}]}]}`,
	},
	"GRPCRoute": {
		`{"parentRefs":[{"name":"g"}],"rules":[{"matches":[{"method":{"service":"a.B","method":"C"},"headers":[{"name":"h","value":"v"}]}],"backendRefs":[{"name":"s","port":80,
			"filters":[{"type":"RequestHeaderModifier","requestHeaderModifier":{"remove":["x"]}}]}],
			"filters":[{"type":"RequestHeaderModifier","requestHeaderModifier":{"remove":["x"]}}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"ExtensionRef"}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"backendRefs":[{"name":"s","port":80,"filters":[{"type":"ExtensionRef"}]}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"backendRefs":[{"name":"s","port":80,"filters":[{"type":"RequestMirror"}]}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"RequestHeaderModifier","requestHeaderModifier":{"set":[{"name":"h","value":"v"}],"add":[{"name":"h","value":"v"}]}}],"backendRefs":[{"name":"s","port":80}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"ResponseHeaderModifier","responseHeaderModifier":{"set":[{"name":"h","value":"v"}],"add":[{"name":"h","value":"v"}]}}],"backendRefs":[{"name":"s","port":80}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"RequestMirror","requestMirror":{"backendRef":{"name":"s","port":80},"fraction":{"numerator":1}}}],"backendRefs":[{"name":"s","port":80}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"filters":[{"type":"RequestMirror","requestMirror":{"backendRef":{"name":"s","port":80}}}],"backendRefs":[{"name":"s","port":80}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"backendRefs":[{"name":"s","port":80,"filters":[{"type":"RequestHeaderModifier","requestHeaderModifier":{"set":[{"name":"h","value":"v"}],"add":[{"name":"h","value":"v"}]}}]}]}]}`,
		`{"parentRefs":[{"name":"g"}],"rules":[{"backendRefs":[{"name":"s","port":80,"filters":[{"type":"ResponseHeaderModifier","responseHeaderModifier":{"set":[{"name":"h","value":"v"}],"add":[{"name":"h","value":"v"}]}}]}]}]}`,
	},
	"TCPRoute": {`{"parentRefs":[{"name":"g"}],"rules":[{"backendRefs":[{"name":"s","port":80}]}]}`},
	"TLSRoute": {`{"parentRefs":[{"name":"g"}],"hostnames":["a.com"],"rules":[{"backendRefs":[{"name":"s","port":80}]}]}`},
	"UDPRoute": {`{"parentRefs":[{"name":"g"}],"rules":[{"backendRefs":[{"name":"s","port":80}]}]}`},
	"BackendTLSPolicy": {
		`{"targetRefs":[{"group":"","kind":"Service","name":"s"}],"validation":{"hostname":"a.com","wellKnownCACertificates":"System"}}`,
		`{"targetRefs":[{"group":"","kind":"Service","name":"s"}],"validation":{"hostname":"a.com","caCertificateRefs":[{"group":"","kind":"ConfigMap","name":"c"}]}}`,
		`{"targetRefs":[{"group":"","kind":"Service","name":"s"}],"validation":{"hostname":"a.com","wellKnownCACertificates":"System","subjectAltNames":[{"type":"Hostname"}]}}`,
		`{"targetRefs":[{"group":"","kind":"Service","name":"s"}],"validation":{"hostname":"a.com","wellKnownCACertificates":"System","subjectAltNames":[{"type":"URI"}]}}`,
		`{"targetRefs":[{"group":"","kind":"Service","name":"s"}],"validation":{"hostname":"a.com","wellKnownCACertificates":"System","subjectAltNames":[{"type":"Hostname","hostname":"b.com"}]}}`,
	},
	"GatewayClass": {`{"controllerName":"heddle.dev/gateway-controller"}`, `{"controllerName":"heddle.dev/gateway-controller","parametersRef":{"kind":"ConfigMap","name":"c"}}`},
}

// quiet are fields that mean something elsewhere or nothing to the mesh, each with the reason.
var quiet = map[string]string{
	"Gateway listeners.allowedRoutes.namespaces.from":                               "routes ask when they attach",
	"Gateway listeners.allowedRoutes.namespaces.selector.matchLabels":               "routes ask when they attach",
	"Gateway listeners.allowedRoutes.namespaces.selector.matchExpressions.key":      "routes ask when they attach",
	"Gateway listeners.allowedRoutes.namespaces.selector.matchExpressions.operator": "routes ask when they attach",
	"Gateway listeners.allowedRoutes.namespaces.selector.matchExpressions.values":   "routes ask when they attach",
	"Gateway allowedListeners.namespaces.from":                                      "ListenerSets ask when they attach",
	"Gateway allowedListeners.namespaces.selector.matchLabels":                      "ListenerSets ask when they attach",
	"Gateway allowedListeners.namespaces.selector.matchExpressions.key":             "ListenerSets ask when they attach",
	"Gateway allowedListeners.namespaces.selector.matchExpressions.operator":        "ListenerSets ask when they attach",
	"Gateway allowedListeners.namespaces.selector.matchExpressions.values":          "ListenerSets ask when they attach",
	"GatewayClass description":                                                      "text for people",
}

// Every field of the Gateway API's kinds must change what the object means or be told.
func TestNoGatewayFieldIsSilentlyIgnored(t *testing.T) {
	objects, ps := api.DecodeAll([]byte(gatewayWorld), "")
	if len(ps) != 0 {
		t.Fatal(ps)
	}
	w := world.New(settings, objects)
	for kind := range gatewayBases {
		k := api.Find(api.GroupGateway, kind)
		n := 0
		goLeaves(reflect.TypeOf(k.NewSpec()), nil, func(path []step) {
			var names []string
			for _, s := range path {
				if s.name != "" {
					names = append(names, s.name)
				}
			}
			n++
			name := strings.Join(names, ".")
			if _, ok := quiet[kind+" "+name]; !ok && !gatewayHeard(t, w, k, path, name) {
				t.Errorf("%s: %s changes nothing and nobody is told", kind, name)
			}
		})
		t.Logf("%s: %d fields", kind, n)
	}
}

func gatewayHeard(t *testing.T, w *world.World, k *api.Kind, path []step, name string) bool {
	for _, base := range gatewayBases[k.Kind] {
		if _, member, ok := strings.Cut(name, "filters."); ok {
			member, _, _ = strings.Cut(member, ".")
			if !strings.Contains(strings.ToLower(base), `"type":"`+strings.ToLower(member)) && member != "type" {
				continue // a filter of another type is told as a whole, whatever it holds
			}
		}
		var said [2]string
		var told []string
		for i, leaf := range []bool{false, true} {
			o, ps := api.Decode([]byte(`{"apiVersion":"` + k.APIVersion() + `","kind":"` + k.Kind + `","metadata":{"name":"n","namespace":"ns"},"spec":` + base + `}`))
			if len(ps) != 0 {
				t.Fatal(ps)
			}
			goPlant(reflect.ValueOf(o.Spec), path, leaf)
			said[i], told = gatewayMeaning(o, w)
		}
		if said[0] != said[1] {
			return true
		}
		for _, field := range told {
			if field != "" && (name == field || strings.HasPrefix(name, field+".")) {
				return true
			}
		}
	}
	return false
}

func gatewayMeaning(o api.Object, w *world.World) (string, []string) {
	r := translate.Object(o, nil, w)
	said := text.Dump(struct{ Route, Gateway, BackendTLS, Status any }{r.Route, r.Gateway, r.BackendTLS, r.Status})
	var told []string
	for _, p := range r.Problems {
		said += p.String() + "\n"
		if p.Code == mesh.CodeNotEnforced || p.Code == mesh.CodeDenied {
			told = append(told, plain(p.Field))
		}
	}
	return said, told
}
