// SPDX-License-Identifier: Apache-2.0
/** The command line of Ioasis: the only place where things are put together. */
module org.ioasis.app {
    requires static transitive org.jspecify;
    requires transitive org.ioasis.core;
    requires org.ioasis.host;
    requires transitive org.ioasis.look;
    requires transitive org.ioasis.machine;
    requires transitive org.ioasis.server;
    requires com.fasterxml.jackson.core;
    requires info.picocli;
    requires jdk.unsupported;
    requires org.tomlj;
    requires org.tukaani.xz;

    // To those who bring a command of their own.
    exports org.ioasis.cli to
            org.ioasis.compare;
    exports org.ioasis.config;
    exports org.ioasis.guestkit;
    exports org.ioasis.kind;
    exports org.ioasis.kind.blk;
    exports org.ioasis.kind.ioat;
    exports org.ioasis.kind.net;
    exports org.ioasis.kind.proxy;
    exports org.ioasis.kind.rng;
    exports org.ioasis.run;
    exports org.ioasis.selftests;
    exports org.ioasis.serve;
    exports org.ioasis.vm;

    opens org.ioasis.cli to
            info.picocli;
    opens org.ioasis.sweep to
            info.picocli;

    uses org.ioasis.cli.Subcommand;
    uses org.ioasis.machine.FunctionKind;

    provides System.LoggerFinder with
            org.ioasis.cli.StandardErrorLog;
}
