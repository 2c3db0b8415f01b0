package ca

import (
	"context"
	"encoding/pem"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/heddle-mesh/heddle/identity"
)

// Authenticator finds who a client is from its credential and from nothing else.
type Authenticator interface {
	Authenticate(ctx context.Context) (identity.ID, error)
}

// Counter counts what the service did; names are Istio's citadel_server_*.
type Counter interface {
	Request()
	Issued()
	Failed(reason string)
}

// Service is Istio's IstioCertificateService.
type Service struct {
	securityv1alpha1.UnimplementedIstioCertificateServiceServer
	Authority     *Authority
	Authenticator Authenticator
	Counter       Counter
	Log           *slog.Logger
}

// CreateCertificate signs the request's key for the identity of the caller's credential.
func (s *Service) CreateCertificate(ctx context.Context, r *securityv1alpha1.IstioCertificateRequest) (*securityv1alpha1.IstioCertificateResponse, error) {
	s.Counter.Request()
	id, err := s.Authenticator.Authenticate(ctx)
	if err != nil {
		s.Counter.Failed("authentication")
		return nil, status.Errorf(codes.Unauthenticated, "sign a certificate: %v", err)
	}
	block, rest := pem.Decode([]byte(r.GetCsr()))
	if block == nil || len(rest) > 0 && len(r.GetCsr()) > 64<<10 {
		s.Counter.Failed("csr")
		return nil, status.Error(codes.InvalidArgument, "sign a certificate: the field csr holds no PEM certificate request")
	}
	chain, expires, err := s.Authority.Sign(block.Bytes, id, time.Duration(r.GetValidityDuration())*time.Second)
	if err != nil {
		s.Counter.Failed("sign")
		return nil, status.Errorf(codes.InvalidArgument, "%v", err)
	}
	s.Counter.Issued()
	s.Log.Info("certificate issued", "identity", id.String(), "expires", expires)
	return &securityv1alpha1.IstioCertificateResponse{CertChain: append(split(chain), string(s.Authority.Roots()))}, nil
}

// split gives each certificate of a chain as a PEM text of its own; Istio's agents expect the root as the last element.
func split(chain []byte) (list []string) {
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		list = append(list, string(pem.EncodeToMemory(block)))
	}
	return list
}
