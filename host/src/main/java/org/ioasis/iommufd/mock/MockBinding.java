// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.mock;

import org.ioasis.iommufd.Device;
import org.ioasis.iommufd.DriverObject;
import org.ioasis.iommufd.IommufdContext;

/**
 * What a driver of devices is to a context, here destroyed by a program: the mock's device is bound
 * as long as this is there. Under its context's lock.
 */
final class MockBinding extends DriverObject {
    private final Device device;

    MockBinding(IommufdContext context, Device device) {
        super(context);
        this.device = device;
    }

    Device device() {
        return device;
    }

    @Override
    protected void destroyed() {
        if (device.hardware() instanceof MockDevice mock) {
            mock.pasids().forEach(device::detach);
        }
        device.unbind();
    }
}
