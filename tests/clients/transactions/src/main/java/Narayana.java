import com.arjuna.ats.internal.jta.transaction.arjunacore.TransactionSynchronizationRegistryImple;
import com.arjuna.ats.jta.TransactionManager;
import com.arjuna.ats.jta.UserTransaction;
import io.agroal.api.AgroalDataSource;
import io.agroal.api.configuration.supplier.AgroalDataSourceConfigurationSupplier;
import io.agroal.api.transaction.TransactionIntegration;
import io.agroal.narayana.NarayanaTransactionIntegration;
import java.sql.SQLException;
import javax.sql.DataSource;
import javax.sql.XADataSource;
import org.mariadb.jdbc.MariaDbDataSource;
import org.postgresql.xa.PGXADataSource;

/**
 * Narayana with Agroal's pools. Its log is by default a file for each decision, which it flushes
 * ({@code ShadowNoFileLockStore}, {@code transactionSync}).
 */
final class Narayana {
    private Narayana() {}

    static Transfers.Coordinator open(
            String postgres, String mariadb, int connections, String folder) throws SQLException {
        // Narayana reads it when the first of its classes is used.
        System.setProperty("ObjectStoreEnvironmentBean.objectStoreDir", folder);
        return new Transfers.Coordinator(
                UserTransaction.userTransaction(),
                pool(PGXADataSource.class, postgres, connections),
                pool(MariaDbDataSource.class, mariadb, connections));
    }

    private static DataSource pool(Class<? extends XADataSource> kind, String url, int connections)
            throws SQLException {
        // Of each pool its own: by it a transaction knows which connection it has from the pool.
        TransactionIntegration integration =
                new NarayanaTransactionIntegration(
                        TransactionManager.transactionManager(),
                        new TransactionSynchronizationRegistryImple());
        AgroalDataSourceConfigurationSupplier configuration =
                new AgroalDataSourceConfigurationSupplier();
        configuration
                .connectionPoolConfiguration()
                .initialSize(connections)
                .minSize(connections)
                .maxSize(connections)
                .transactionIntegration(integration)
                .connectionFactoryConfiguration()
                .connectionProviderClass(kind)
                .jdbcUrl(url);
        return AgroalDataSource.from(configuration);
    }
}
