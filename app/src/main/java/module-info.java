/** The command line of Ioasis: the only place where things are put together. */
module org.ioasis.app {
    requires static transitive org.jspecify;
    requires org.ioasis.core;
    requires org.ioasis.server;
    requires org.ioasis.sys;
    requires org.tukaani.xz;
    requires info.picocli;

    exports org.ioasis.guestkit;
    exports org.ioasis.vm;

    opens org.ioasis.cli to
            info.picocli;
}
