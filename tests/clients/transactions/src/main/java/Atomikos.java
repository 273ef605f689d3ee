import com.atomikos.icatch.config.UserTransactionServiceImp;
import com.atomikos.icatch.jta.UserTransactionImp;
import com.atomikos.jdbc.AtomikosDataSourceBean;
import java.util.Properties;
import javax.sql.DataSource;
import javax.sql.XADataSource;
import org.mariadb.jdbc.MariaDbDataSource;
import org.postgresql.xa.PGXADataSource;

/**
 * Atomikos with its own pools. Its log is one file, which by default it flushes for each decision
 * and for the end of each transaction.
 */
final class Atomikos {
    private Atomikos() {}

    static Transfers.Coordinator open(
            String postgres, String mariadb, int connections, String folder) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("com.atomikos.icatch.tm_unique_name", "atomikos");
        properties.setProperty("com.atomikos.icatch.log_base_dir", folder);
        new UserTransactionServiceImp(properties).init();
        PGXADataSource source = new PGXADataSource();
        source.setUrl(postgres);
        return new Transfers.Coordinator(
                new UserTransactionImp(),
                pool("postgres", source, connections),
                pool("mariadb", new MariaDbDataSource(mariadb), connections));
    }

    private static DataSource pool(String name, XADataSource source, int connections)
            throws Exception {
        AtomikosDataSourceBean pool = new AtomikosDataSourceBean();
        pool.setUniqueResourceName(name);
        pool.setXaDataSource(source);
        pool.setPoolSize(connections);
        pool.init();
        return pool;
    }
}
