// SPDX-License-Identifier: Apache-2.0
/**
 * A machine's IOMMUs and the devices behind them, put together: what authors of devices start from,
 * with what tests a device without a VMM. Needs neither the commands nor their libraries.
 */
module org.ioasis.machine {
    requires static transitive org.jspecify;
    requires transitive org.ioasis.core;
    requires org.ioasis.host;
    requires transitive org.ioasis.server;

    exports org.ioasis.machine;
    exports org.ioasis.testkit;
}
