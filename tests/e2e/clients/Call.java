// Both HTTP clients of Java's own library, as they are: GET the URL that is given, with the key of the
// environment as its bearer. Prints a status for each, and how many authorities it trusts.
import java.io.FileInputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;

public class Call {
    public static void main(String[] args) throws Exception {
        URI url = URI.create(args[0]);
        String bearer = "Bearer " + System.getenv("API_KEY");
        HttpRequest request =
            HttpRequest.newBuilder(url).header("Authorization", bearer).build();
        HttpResponse<String> answer =
            HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        HttpURLConnection older = (HttpURLConnection) url.toURL().openConnection();
        older.setRequestProperty("Authorization", bearer);
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(new FileInputStream(System.getProperty("javax.net.ssl.trustStore")), null);
        System.out.println(answer.statusCode() + " " + older.getResponseCode() + " "
            + trusted.size() + " " + System.getProperty("sallyport.kept"));
    }
}
