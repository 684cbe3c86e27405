/** The command line of Ioasis: the only place where things are put together. */
module org.ioasis.app {
    requires static transitive org.jspecify;
    requires org.ioasis.core;
    requires org.ioasis.server;
    requires org.ioasis.sys;
    requires info.picocli;

    opens org.ioasis.cli to
            info.picocli;
}
