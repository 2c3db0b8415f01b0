package mesh

// TLSBounds limits TLS; zero values are the defaults.
type TLSBounds struct {
	MinVersion   uint16   // of RFC 8446
	CipherSuites []string // of TLS 1.2 and older, of CipherSuites
	Curves       []string // of Curves
}

// CipherSuites are OpenSSL's names of the suites of TLS 1.2 and older that every data plane has, those that are advised first.
var CipherSuites = []string{
	"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
	"ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA", "AES128-GCM-SHA256", "AES256-GCM-SHA384",
	"AES128-SHA", "AES256-SHA",
}

// Curves are BoringSSL's names of what every data plane can agree keys by.
var Curves = []string{"X25519MLKEM768", "X25519", "P-256", "P-384", "P-521"}
