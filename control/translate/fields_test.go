package translate_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate"
	"github.com/heddle-mesh/heddle/control/translate/text"
	"github.com/heddle-mesh/heddle/control/translate/world"
	"github.com/heddle-mesh/heddle/mesh"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

var settings = &mesh.Settings{TrustDomain: "cluster.local", RootNamespace: mesh.RootNamespace, ClusterDomain: "cluster.local"}

// leaves lists every path below a message that holds a value, as field descriptors from the outside in.
func leaves(md protoreflect.MessageDescriptor, trail []protoreflect.FieldDescriptor, visit func([]protoreflect.FieldDescriptor)) {
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		path := append(trail[:len(trail):len(trail)], fd)
		inner := fd.Message()
		if fd.IsMap() {
			inner = fd.MapValue().Message()
		}
		if inner != nil && !strings.HasPrefix(string(inner.FullName()), "google.protobuf.") && len(path) < 12 {
			leaves(inner, path, visit)
		} else {
			visit(path)
		}
	}
}

// plant populates what is on the way to a leaf, and the leaf itself when asked to.
func plant(m protoreflect.Message, path []protoreflect.FieldDescriptor, leaf bool) {
	fd := path[0]
	if len(path) == 1 {
		if leaf {
			m.Set(fd, value(m, fd))
		}
		return
	}
	switch {
	case fd.IsMap():
		v := m.Mutable(fd).Map().NewValue()
		plant(v.Message(), path[1:], leaf)
		key := protoreflect.ValueOfString("x-key").MapKey()
		if fd.MapKey().Kind() == protoreflect.Uint32Kind {
			key = protoreflect.ValueOfUint32(8080).MapKey()
		}
		m.Mutable(fd).Map().Set(key, v)
	case fd.IsList():
		list := m.Mutable(fd).List()
		if list.Len() == 0 {
			list.AppendMutable()
		}
		plant(list.Get(0).Message(), path[1:], leaf)
	default:
		plant(m.Mutable(fd).Message(), path[1:], leaf)
	}
}

func value(m protoreflect.Message, fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch {
	case fd.IsMap():
		v := m.NewField(fd)
		val := protoreflect.ValueOfString("v")
		if fd.MapValue().Kind() == protoreflect.Uint32Kind {
			val = protoreflect.ValueOfUint32(7)
		}
		v.Map().Set(protoreflect.ValueOfString("key").MapKey(), val)
		return v
	case fd.IsList():
		v := m.NewField(fd)
		v.List().Append(scalar(fd, v.List().NewElement()))
		return v
	}
	return scalar(fd, m.NewField(fd))
}

func scalar(fd protoreflect.FieldDescriptor, empty protoreflect.Value) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("7.7.7.7")
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("b"))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(fd.Enum().Values().Get(min(2, fd.Enum().Values().Len()-1)).Number())
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(7)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(7)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(7)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(7)
	case protoreflect.MessageKind:
		if fd.Message().Name() == "Duration" {
			return protoreflect.ValueOfMessage(durationpb.New(7e9).ProtoReflect())
		}
		inner := empty.Message()
		if v := inner.Descriptor().Fields().ByName("value"); v != nil && v.Message() == nil {
			inner.Set(v, scalar(v, inner.NewField(v)))
		}
		return protoreflect.ValueOfMessage(inner)
	}
	return empty
}

// meaning is all that a translation says about a spec, and the paths of the fields that it says are not honoured.
func meaning(k *api.Kind, spec any) (string, []string) {
	o := api.Object{Kind: k, Meta: api.Meta{Name: "n", Namespace: "ns"}, Spec: spec}
	r := translate.Object(o, nil, world.New(settings, nil))
	var b strings.Builder
	for _, noun := range []any{r.Route, r.Traffic, r.Gateway, r.Entry, r.Workload, r.Endpoint, r.PeerAuthn, r.Authorization} {
		b.WriteString(text.Dump(struct{ Noun any }{noun}))
	}
	for _, d := range r.Denials {
		b.WriteString(text.Dump(d))
	}
	var told []string
	for _, p := range r.Problems {
		b.WriteString(p.String() + "\n")
		if p.Code == mesh.CodeNotEnforced || p.Code == mesh.CodeDenied {
			told = append(told, plain(p.Field))
		}
	}
	return b.String(), told
}

var index = regexp.MustCompile(`\[[^\]]*\]`)

// plain is a path without spec and indices.
func plain(path string) string {
	return index.ReplaceAllString(strings.TrimPrefix(path, "spec."), "")
}

// everywhere is a DestinationRule with a policy in all four places where one can stand.
func everywhere(policy string) string {
	port := `"portLevelSettings":[{"port":{"number":80}}]`
	if policy != "" {
		port = policy + `,"portLevelSettings":[{"port":{"number":80},` + policy + `}]`
	}
	return `{"host":"a.com","trafficPolicy":{` + port + `},"subsets":[{"name":"s","trafficPolicy":{` + port + `}}]}`
}

// bases are valid objects in which fields are planted; a field counts as read when it changes the meaning of one of them.
var bases = map[string][]string{
	"VirtualService": {
		`{"hosts":["a.com"],"http":[{"route":[{"destination":{"host":"b.com"},"weight":1}],"match":[{"uri":{"exact":"/x"}}],"mirror":{"host":"m.com"},
			"rewrite":{"uriRegexRewrite":{"match":"a","rewrite":"b"}},"retries":{"attempts":1}}]}`,
		`{"hosts":["a.com"],"http":[{"route":[{"destination":{"host":"b.com"}}],"mirrors":[{"destination":{"host":"m.com"}}],
			"fault":{"abort":{"httpStatus":500,"percentage":{"value":1}},"delay":{"fixedDelay":"1s","percentage":{"value":1}}}}]}`,
		`{"hosts":["a.com"],"http":[{"route":[{"destination":{"host":"b.com"}}],"corsPolicy":{"allowOrigins":[{"exact":"*"}]}}]}`,
		`{"hosts":["a.com"],"http":[{"redirect":{"authority":"b"},"match":[{"uri":{"prefix":"/x"}}]}]}`,
		`{"hosts":["a.com"],"http":[{"delegate":{"name":"d"}}]}`,
		`{"hosts":["a.com"],"http":[{"directResponse":{"status":200}}]}`,
		`{"hosts":["a.com"],"tcp":[{"route":[{"destination":{"host":"b.com"}}]}]}`,
		`{"hosts":["a.com"],"tls":[{"match":[{"sniHosts":["a.com"]}],"route":[{"destination":{"host":"b.com"}}]}]}`,
	},
	"DestinationRule": {
		`{"host":"a.com"}`,
		everywhere(``),
		everywhere(`"loadBalancer":{"warmup":{"duration":"1s"}}`),
		`{"host":"a.com","trafficPolicy":{"retryBudget":{}},"subsets":[{"name":"s","trafficPolicy":{"retryBudget":{}}}]}`,
		everywhere(`"loadBalancer":{"consistentHash":{"httpHeaderName":"x"}}`),
		everywhere(`"loadBalancer":{"localityLbSetting":{"enabled":false,"failover":[{"from":"a","to":"b"}]}}`),
		everywhere(`"loadBalancer":{"consistentHash":{"httpCookie":{"name":"x","attributes":[{"name":"y"}]}}}`),
	},
	"Gateway": {
		`{"servers":[{"port":{"number":80,"name":"h","protocol":"HTTP"},"hosts":["*"]}]}`,
		`{"servers":[{"port":{"number":443,"name":"h","protocol":"HTTPS"},"hosts":["*"],"tls":{"mode":"SIMPLE","credentialName":"x"}}]}`,
	},
	"ServiceEntry": {
		`{"hosts":["a.com"],"ports":[{"number":80,"name":"h"}],"resolution":"DNS","endpoints":[{"address":"1.2.3.4"}]}`,
		`{"hosts":["a.com"],"ports":[{"number":80,"name":"h"}],"resolution":"STATIC"}`,
	},
	"WorkloadEntry":       {`{"address":"1.2.3.4"}`},
	"PeerAuthentication":  {`{"selector":{"matchLabels":{"a":"b"}},"portLevelMtls":{"8080":{}}}`},
	"AuthorizationPolicy": {`{}`},
}

// Every field that a user can write must change what the object means or be told: nothing is silently ignored. Each leaf of each schema is populated in
// valid objects, and the meaning is compared with that of the same object without it.
func TestNoFieldIsSilentlyIgnored(t *testing.T) {
	for kind := range bases {
		k := api.Find(api.GroupNetworking, kind)
		if k == nil {
			k = api.Find(api.GroupSecurity, kind)
		}
		n := 0
		leaves(k.NewSpec().(proto.Message).ProtoReflect().Descriptor(), nil, func(path []protoreflect.FieldDescriptor) {
			n++
			if !heard(t, k, path) {
				t.Errorf("%s: %s changes nothing and nobody is told", kind, dotted(path))
			}
		})
		t.Logf("%s: %d fields", kind, n)
	}
}

func heard(t *testing.T, k *api.Kind, path []protoreflect.FieldDescriptor) bool {
	for _, base := range bases[k.Kind] {
		specs := [2]proto.Message{}
		for i, leaf := range []bool{false, true} {
			o, ps := api.Decode([]byte(`{"apiVersion":"` + k.APIVersion() + `","kind":"` + k.Kind + `","metadata":{"name":"n"},"spec":` + base + `}`))
			if len(ps) != 0 {
				t.Fatal(ps)
			}
			specs[i] = o.Spec.(proto.Message)
			plant(specs[i].ProtoReflect(), path, leaf)
		}
		without, _ := meaning(k, specs[0])
		with, told := meaning(k, specs[1])
		if with != without {
			return true
		}
		for _, field := range told {
			if field != "" && (dotted(path) == field || strings.HasPrefix(dotted(path), field+".")) {
				return true
			}
		}
	}
	return false
}

func dotted(path []protoreflect.FieldDescriptor) string {
	var names []string
	for _, fd := range path {
		names = append(names, fd.JSONName())
	}
	return strings.Join(names, ".")
}
