import java.io.FileInputStream;
import java.io.InputStream;
import java.security.KeyStore;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/** Judges clients' chains as Java does. Arguments: pairs of PEM files, the trusted and the chain. Prints a line each. */
class Judge {
    public static void main(String[] files) throws Exception {
        for (int at = 0; at < files.length; at += 2) {
            X509Certificate[] chain = read(files[at + 1]);
            System.out.println(trusts(read(files[at]), chain) + " " + chain[0].getSubjectX500Principal().getName());
        }
    }

    static boolean trusts(X509Certificate[] trusted, X509Certificate[] chain) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        for (int number = 0; number < trusted.length; number++) {
            store.setCertificateEntry("trusted" + number, trusted[number]);
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
        factory.init(store);
        for (TrustManager manager : factory.getTrustManagers()) {
            try {
                ((X509TrustManager) manager).checkClientTrusted(chain, chain[0].getPublicKey().getAlgorithm());
                return true;
            } catch (CertificateException refused) {
                return false;
            }
        }
        throw new IllegalStateException("no trust manager");
    }

    static X509Certificate[] read(String file) throws Exception {
        try (InputStream in = new FileInputStream(file)) {
            return CertificateFactory.getInstance("X.509").generateCertificates(in).toArray(new X509Certificate[0]);
        }
    }
}
