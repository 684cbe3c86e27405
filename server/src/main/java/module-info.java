// SPDX-License-Identifier: Apache-2.0
/**
 * What attaches the engine to a VMM: event loop, vfio-user, vhost-user, virtio-pci, topology
 * tables.
 */
module org.ioasis.server {
    requires static transitive org.jspecify;
    requires transitive org.ioasis.core;
    requires org.ioasis.host;
    requires transitive org.ioasis.sys;
    requires com.fasterxml.jackson.core;
    requires jdk.jfr;

    exports org.ioasis.loop;
    exports org.ioasis.pci;
    exports org.ioasis.peer;
    exports org.ioasis.program to
            org.ioasis.app,
            org.ioasis.machine;
    exports org.ioasis.topology;
    exports org.ioasis.vfiodevice to
            org.ioasis.app,
            org.ioasis.machine;
    exports org.ioasis.vfiouser;
    exports org.ioasis.vhostuser;

    provides org.ioasis.kvm.VfioSymbols with
            org.ioasis.vfiodevice.VfioFiles;
}
