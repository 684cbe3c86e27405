// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.util.List;

/**
 * What the device knows beside its frame and its engine, for saved states. Immutable.
 *
 * @param eventKicks kicks of the event queue, 2 for more
 * @param requests what is to be answered, without being carried out again
 */
record TypeState(
        boolean isDriverReady, int eventKicks, long unknownEndpoint, List<RequestState> requests) {
    TypeState {
        requests = List.copyOf(requests);
    }
}
