// SPDX-License-Identifier: Apache-2.0
/** Linux for the rest of Ioasis: the only module that calls native code. */
module org.ioasis.sys {
    requires static transitive org.jspecify;

    exports org.ioasis.sys to
            org.ioasis.app,
            org.ioasis.compare,
            org.ioasis.look,
            org.ioasis.machine,
            org.ioasis.server;
}
