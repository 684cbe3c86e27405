// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.util.LinkedHashSet;
import java.util.Set;
import org.ioasis.host.LongMap;

/** What a context knows of a group of devices. Under its lock. */
final class DeviceGroup {
    /** One PASID, or no PASID, of all devices of the group. */
    static final class Attachment {
        Hwpt hwpt;
        final Set<Device> devices = new LinkedHashSet<>();

        Attachment(Hwpt hwpt) {
            this.hwpt = hwpt;
        }
    }

    /** By PASID. */
    final LongMap<Attachment> attachments = new LongMap<>();

    /** Devices that are bound. */
    int members;
}
