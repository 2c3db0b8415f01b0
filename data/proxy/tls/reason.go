package tls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"

	"golang.org/x/sys/unix"
)

// Error is a handshake that failed.
type Error struct {
	// Reason is Envoy's transport failure reason (BoringSSL's error codes and names), for access logs and local replies.
	Reason string
	// Timeout says that the time was up.
	Timeout bool
	// Err is the cause.
	Err error
}

// Error implements error.
func (e *Error) Error() string { return "TLS handshake: " + e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *Error) Unwrap() error { return e.Err }

// Kind is what a handshake's failure says of the peer's certificate.
type Kind uint8

// The kinds.
const (
	NotRefused Kind = iota // the handshake failed for another reason
	NoCertificate
	WrongName
	WrongChain
)

// Refusal finds the kind of a handshake's failure.
func Refusal(err error) Kind {
	var refused *verifyError
	switch {
	case errors.Is(err, errNoCertificate), strings.HasSuffix(err.Error(), "tls: client didn't provide a certificate"):
		return NoCertificate
	case errors.Is(err, errSAN):
		return WrongName
	case errors.As(err, &refused):
		return WrongChain
	}
	return NotRefused
}

const sslLibrary = 16 << 24 // BoringSSL packs the library's number above the reason's

// alerts names BoringSSL's reasons for alerts of the peer; the code is 1000 + the alert (RFC 8446 section 6.2).
var alerts = map[uint8]string{
	40: "SSLV3_ALERT_HANDSHAKE_FAILURE", 42: "SSLV3_ALERT_BAD_CERTIFICATE", 43: "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
	44: "SSLV3_ALERT_CERTIFICATE_REVOKED", 45: "SSLV3_ALERT_CERTIFICATE_EXPIRED", 46: "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
	47: "SSLV3_ALERT_ILLEGAL_PARAMETER", 48: "TLSV1_ALERT_UNKNOWN_CA", 49: "TLSV1_ALERT_ACCESS_DENIED", 50: "TLSV1_ALERT_DECODE_ERROR",
	51: "TLSV1_ALERT_DECRYPT_ERROR", 70: "TLSV1_ALERT_PROTOCOL_VERSION", 71: "TLSV1_ALERT_INSUFFICIENT_SECURITY", 80: "TLSV1_ALERT_INTERNAL_ERROR",
	112: "TLSV1_ALERT_UNRECOGNIZED_NAME", 116: "TLSV1_ALERT_CERTIFICATE_REQUIRED", 120: "TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
}

func ssl(code int, name string) string {
	return fmt.Sprintf("TLS_error:|%d:SSL routines:OPENSSL_internal:%s:TLS_error_end", sslLibrary+code, name)
}

func system(errno unix.Errno, name string) string {
	return fmt.Sprintf("TLS_error:|%d:system library:OPENSSL_internal:%s:TLS_error_end", 2<<24+int(errno), name)
}

// explain finds Envoy's words for a failure.
func explain(err error) *Error {
	e := &Error{Err: err}
	var refused *verifyError
	var unknown *tls.CertificateVerificationError
	var header tls.RecordHeaderError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Timeout, e.Reason = true, ""
	case errors.Is(err, errNoCertificate), err.Error() == "tls: client didn't provide a certificate":
		e.Reason = ssl(192, "PEER_DID_NOT_RETURN_A_CERTIFICATE")
	case errors.As(err, &refused):
		e.Reason = ssl(125, "CERTIFICATE_VERIFY_FAILED:verify cert failed: "+refused.reason)
	case errors.As(err, &unknown):
		e.Reason = ssl(125, "CERTIFICATE_VERIFY_FAILED")
	case errors.Is(err, errNoCertificates):
		e.Reason = "TLS error: Secret is not supplied by SDS"
	case errors.As(err, &header):
		e.Reason = ssl(247, "WRONG_VERSION_NUMBER")
	case remoteAlert(err) != 0:
		alert := remoteAlert(err)
		name, ok := alerts[alert]
		if !ok {
			name = fmt.Sprintf("ALERT_%d", alert)
		}
		e.Reason = ssl(1000+int(alert), name)
	case errors.Is(err, unix.ECONNRESET):
		e.Reason = system(unix.ECONNRESET, "Connection reset by peer")
	case errors.Is(err, unix.EPIPE):
		e.Reason = system(unix.EPIPE, "Broken pipe")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		e.Reason = "" // Envoy says nothing of an orderly end
	default:
		e.Reason = "TLS_error:|" + err.Error() + ":TLS_error_end"
	}
	return e
}

// remoteAlert is the alert that the peer sent, 0 if it was none; crypto/tls keeps the type to itself.
func remoteAlert(err error) uint8 {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return 0
	}
	if v := reflect.ValueOf(op.Err); v.Kind() == reflect.Uint8 {
		return uint8(v.Uint())
	}
	return 0
}
