package hpack

// pair is a field of the static table.
type pair struct{ name, value []byte }

// static is the static table (RFC 7541 appendix A); index 0 is unused.
var static = func() (list [62]pair) {
	for i, p := range [...][2]string{
		{}, {":authority"}, {":method", "GET"}, {":method", "POST"}, {":path", "/"}, {":path", "/index.html"}, {":scheme", "http"}, {":scheme", "https"},
		{":status", "200"}, {":status", "204"}, {":status", "206"}, {":status", "304"}, {":status", "400"}, {":status", "404"}, {":status", "500"},
		{"accept-charset"}, {"accept-encoding", "gzip, deflate"}, {"accept-language"}, {"accept-ranges"}, {"accept"}, {"access-control-allow-origin"}, {"age"}, {"allow"},
		{"authorization"}, {"cache-control"}, {"content-disposition"}, {"content-encoding"}, {"content-language"}, {"content-length"}, {"content-location"},
		{"content-range"}, {"content-type"}, {"cookie"}, {"date"}, {"etag"}, {"expect"}, {"expires"}, {"from"}, {"host"}, {"if-match"}, {"if-modified-since"},
		{"if-none-match"}, {"if-range"}, {"if-unmodified-since"}, {"last-modified"}, {"link"}, {"location"}, {"max-forwards"}, {"proxy-authenticate"},
		{"proxy-authorization"}, {"range"}, {"referer"}, {"refresh"}, {"retry-after"}, {"server"}, {"set-cookie"}, {"strict-transport-security"}, {"transfer-encoding"},
		{"user-agent"}, {"vary"}, {"via"}, {"www-authenticate"},
	} {
		list[i] = pair{[]byte(p[0]), []byte(p[1])}
	}
	return list
}()

// Indices of names that the encoder treats in their own way.
const (
	atAuthority          = 1
	atPath               = 4
	atStatus             = 8
	atAge                = 21
	atAuthorization      = 23
	atContentLength      = 28
	atContentRange       = 30
	atCookie             = 32
	atDate               = 33
	atETag               = 34
	atExpires            = 36
	atIfModifiedSince    = 40
	atIfNoneMatch        = 41
	atLastModified       = 44
	atLocation           = 46
	atProxyAuthorization = 49
	atReferer            = 51
	atSetCookie          = 55
)

// volatile are names whose values rarely come again: an entry is worth its place only when one did.
const volatile uint64 = 1<<atPath | 1<<atAge | 1<<atContentLength | 1<<atContentRange | 1<<atCookie | 1<<atDate | 1<<atETag | 1<<atExpires | 1<<atIfModifiedSince |
	1<<atIfNoneMatch | 1<<atLastModified | 1<<atLocation | 1<<atReferer | 1<<atSetCookie

// staticSlots bounds the hash table of the static table; with this many, few fields need a second look.
const staticSlots = 256

// lookup finds fields and names of the static table by hash.
type lookup struct{ fields, names [staticSlots]uint8 }

var statics = func() (l lookup) {
	put := func(slots *[staticSlots]uint8, hash uint32, i int) {
		at := hash % staticSlots
		for slots[at] != 0 {
			at = (at + 1) % staticSlots
		}
		slots[at] = uint8(i)
	}
	for i := 1; i < len(static); i++ {
		key := hashName(static[i].name)
		if len(static[i].value) > 0 {
			put(&l.fields, hashField(key, static[i].value), i)
		}
		if string(static[i-1].name) != string(static[i].name) {
			put(&l.names, key, i)
		}
	}
	return l
}()

// staticField is the index of a field, 0 if there is none.
func staticField(hash uint32, name, value []byte) int {
	for at := hash % staticSlots; ; at = (at + 1) % staticSlots {
		i := statics.fields[at]
		if i == 0 || string(static[i].value) == string(value) && string(static[i].name) == string(name) {
			return int(i)
		}
	}
}

// staticName is the first index of a name, 0 if there is none.
func staticName(key uint32, name []byte) int {
	for at := key % staticSlots; ; at = (at + 1) % staticSlots {
		i := statics.names[at]
		if i == 0 || string(static[i].name) == string(name) {
			return int(i)
		}
	}
}
