import com.google.gson.Gson;
import io.grpc.*;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ServerCalls;
import io.grpc.xds.*;
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.security.cert.X509Certificate;
import java.util.*;
import java.util.concurrent.*;
import javax.net.ssl.SSLSession;

/** A client and a server without a proxy: reads one JSON object per line that says what to do, and answers with one line (see ask and got of the test). */
public class Proxyless {
    static class Ask {
        String target, path, channel, serve;
        Map<String, String> headers;
        int n, timeoutMs, gapMs;
        boolean together;
    }

    static class Got {
        int Code;
        String Message = "", Body = "";
    }

    static class Seen {
        String Server = "java", Path, Peer = "";
        Map<String, String> Headers = new HashMap<>();
    }

    static final MethodDescriptor.Marshaller<byte[]> BYTES = new MethodDescriptor.Marshaller<>() {
        public InputStream stream(byte[] b) { return new ByteArrayInputStream(b); }
        public byte[] parse(InputStream in) {
            try {
                return in.readAllBytes();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    };
    static final Gson GSON = new Gson();
    static final Map<String, ManagedChannel> CHANNELS = new ConcurrentHashMap<>();
    static final ExecutorService POOL = Executors.newCachedThreadPool();
    static final Context.Key<Seen> SEEN = Context.key("seen");

    static MethodDescriptor<byte[], byte[]> method(String path) {
        return MethodDescriptor.newBuilder(BYTES, BYTES).setType(MethodDescriptor.MethodType.UNARY).setFullMethodName(path.substring(1)).build();
    }

    static Got call(Ask ask) {
        ManagedChannel c = CHANNELS.computeIfAbsent(ask.target + " " + ask.channel,
                k -> Grpc.newChannelBuilder(ask.target, XdsChannelCredentials.create(InsecureChannelCredentials.create())).build());
        Metadata md = new Metadata();
        if (ask.headers != null) {
            ask.headers.forEach((k, v) -> md.put(Metadata.Key.of(k, Metadata.ASCII_STRING_MARSHALLER), v));
        }
        Channel with = ClientInterceptors.intercept(c, io.grpc.stub.MetadataUtils.newAttachHeadersInterceptor(md));
        Got g = new Got();
        try {
            byte[] out = ClientCalls.blockingUnaryCall(with, method(ask.path), CallOptions.DEFAULT.withDeadlineAfter(ask.timeoutMs, TimeUnit.MILLISECONDS), new byte[0]);
            g.Body = new String(out, StandardCharsets.UTF_8);
        } catch (StatusRuntimeException e) {
            g.Code = e.getStatus().getCode().value();
            g.Message = String.valueOf(e.getStatus().getDescription());
        }
        return g;
    }

    static class Look implements ServerInterceptor {
        public <Q, A> ServerCall.Listener<Q> interceptCall(ServerCall<Q, A> call, Metadata md, ServerCallHandler<Q, A> next) {
            Seen s = new Seen();
            s.Path = "/" + call.getMethodDescriptor().getFullMethodName();
            for (String k : md.keys()) {
                if (!k.endsWith("-bin")) {
                    s.Headers.put(k, md.get(Metadata.Key.of(k, Metadata.ASCII_STRING_MARSHALLER)));
                }
            }
            SSLSession tls = call.getAttributes().get(Grpc.TRANSPORT_ATTR_SSL_SESSION);
            if (tls != null) {
                try {
                    for (List<?> name : ((X509Certificate) tls.getPeerCertificates()[0]).getSubjectAlternativeNames()) {
                        s.Peer = String.valueOf(name.get(1));
                    }
                } catch (Exception e) {
                    s.Peer = e.toString();
                }
            }
            return Contexts.interceptCall(Context.current().withValue(SEEN, s), call, md, next);
        }
    }

    static void serve(String address) throws Exception {
        ServerServiceDefinition.Builder service = ServerServiceDefinition.builder("echo.Echo");
        for (String name : new String[] {"Get", "Admin"}) {
            service.addMethod(method("/echo.Echo/" + name), ServerCalls.asyncUnaryCall((byte[] in, io.grpc.stub.StreamObserver<byte[]> out) -> {
                out.onNext(GSON.toJson(SEEN.get()).getBytes(StandardCharsets.UTF_8));
                out.onCompleted();
            }));
        }
        XdsServerBuilder.forPort(Integer.parseInt(address.substring(address.lastIndexOf(':') + 1)), XdsServerCredentials.create(InsecureServerCredentials.create()))
                .addService(ServerInterceptors.intercept(service.build(), new Look())).build().start();
    }

    static List<Got> obey(Ask ask) throws Exception {
        List<Got> out = new ArrayList<>();
        if (ask.serve != null && !ask.serve.isEmpty()) {
            serve(ask.serve);
            return out;
        }
        List<Future<Got>> open = new ArrayList<>();
        for (int i = 0; i < ask.n; i++) {
            if (ask.together) {
                open.add(POOL.submit(() -> call(ask)));
                Thread.sleep(ask.gapMs);
            } else {
                out.add(call(ask));
            }
        }
        for (Future<Got> f : open) {
            out.add(f.get());
        }
        return out;
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.println(GSON.toJson(obey(GSON.fromJson(line, Ask.class))));
        }
        System.exit(0);
    }
}
