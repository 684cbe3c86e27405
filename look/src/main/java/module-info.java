// SPDX-License-Identifier: Apache-2.0
/**
 * What shows and keeps what running machines do: their state as text, JSON and a page, a trace, and
 * the files that users name for it. Who embeds the engine needs none of it.
 */
module org.ioasis.look {
    requires static transitive org.jspecify;
    requires transitive org.ioasis.core;
    requires transitive org.ioasis.machine;
    requires transitive org.ioasis.server;
    requires com.fasterxml.jackson.core;
    requires io.prometheus.metrics.config;
    requires io.prometheus.metrics.model;
    requires io.prometheus.writer.text;
    requires org.eclipse.jetty.server;

    exports org.ioasis.live;
    exports org.ioasis.metrics;
    exports org.ioasis.output;
    exports org.ioasis.page;
    exports org.ioasis.record;
    exports org.ioasis.web;

    // The library that knows the format is no module.
    uses org.ioasis.record.RowFiles;
}
