import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;

/** Asks with Java's HttpClient: java Client.java URL VERSION. It echoes a body of 1 MiB, ten times at once. */
public class Client {
    public static void main(String[] args) throws Exception {
        HttpClient.Version version = HttpClient.Version.valueOf(args[1]);
        HttpClient client = HttpClient.newBuilder().version(version).build();
        byte[] sent = new byte[1 << 20];
        new Random(1).nextBytes(sent);
        // The first request of HTTP/2 in clear asks for an upgrade to h2c, which is not taken: HTTP/1.1 goes on.
        CompletableFuture<?>[] all = IntStream.range(0, 10).mapToObj(i -> client.sendAsync(
                HttpRequest.newBuilder(URI.create(args[0] + "/echo")).POST(HttpRequest.BodyPublishers.ofByteArray(sent)).build(), HttpResponse.BodyHandlers.ofByteArray())
            .thenAccept(r -> {
                if (r.statusCode() != 200 || !Arrays.equals(r.body(), sent)) throw new RuntimeException("status " + r.statusCode() + ", " + r.body().length + " bytes");
            })).toArray(CompletableFuture[]::new);
        CompletableFuture.allOf(all).get();
        System.out.println("ok");
    }
}
